"""Models of a table: (n, d) rows as sent -> (n, K) logits, in float64. One formula a class.

Each starts with the feature extraction (`clonecost.tabular.features`), and `softmax` of its output
gives the probabilities of its formula. Equation-solving attacks solve for their parameters.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clonecost.tabular.features import Extraction
from clonecost.types import Feature


class LinearModel(nn.Module):
    """Logistic regression, z = W x + b: p = softmax z, or one-vs-rest p_k = s(z_k) / sum_j s(z_j).

    Args:
        features: the d features of the table.
        num_classes: K.
        ovr: one-vs-rest; s is the logistic function.

    Example:
        >>> model = LinearModel((Feature(name="age", low=18, high=99),), num_classes=2)
        >>> model(torch.tensor([[20.0], [60.0]])).shape
        torch.Size([2, 2])
    """

    def __init__(self, features: Sequence[Feature], num_classes: int, *, ovr: bool = False) -> None:
        super().__init__()
        self.extract, self.ovr = Extraction(features), ovr
        self.linear = nn.Linear(self.extract.width, num_classes, dtype=torch.float64)

    def forward(self, rows: Tensor) -> Tensor:
        z = self.linear(self.extract(rows))
        return F.logsigmoid(z) if self.ovr else z  # softmax(log s(z)) is s(z) over its sum


class TanhModel(nn.Module):
    """A perceptron with `hidden` tanh units: p = softmax(V tanh(W x + b) + c)."""

    def __init__(self, features: Sequence[Feature], hidden: int, num_classes: int) -> None:
        super().__init__()
        self.extract = Extraction(features)
        self.hidden = nn.Linear(self.extract.width, hidden, dtype=torch.float64)
        self.out = nn.Linear(hidden, num_classes, dtype=torch.float64)

    def forward(self, rows: Tensor) -> Tensor:
        return self.out(self.hidden(self.extract(rows)).tanh())


class RbfModel(nn.Module):
    """Kernel logistic regression: p = softmax(A K(x) + b), K_s(x) = exp(-gamma |x - x_s|^2).

    The `representers` x_s are parameters and start at 0; log gamma is a parameter, too.
    """

    def __init__(
        self, features: Sequence[Feature], representers: int, num_classes: int, *, gamma: float
    ) -> None:
        super().__init__()
        self.extract = Extraction(features)
        shape = representers, self.extract.width
        self.representers = nn.Parameter(torch.zeros(shape, dtype=torch.float64))  # x_s
        self.log_gamma = nn.Parameter(torch.tensor(gamma, dtype=torch.float64).log())
        self.out = nn.Linear(representers, num_classes, dtype=torch.float64)

    def forward(self, rows: Tensor) -> Tensor:
        x, s = self.extract(rows), self.representers
        distance = (x * x).sum(1, keepdim=True) - 2 * x @ s.T + (s * s).sum(1)
        return self.out((-self.log_gamma.exp() * distance).exp())


class SameAnswer(nn.Module):
    """The same answer for every row: the model when all training rows have one label.

    Args:
        answer: (K,) probabilities.
    """

    logits: Tensor

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.register_buffer("logits", answer.double().clamp_min(1e-30).log())

    def forward(self, rows: Tensor) -> Tensor:
        return self.logits.expand(len(rows), -1)


class RuleModel(nn.Module):
    """A decision tree as its L leaves: a box each, and the answer to every row inside it.

    Args:
        low, high: (L, d), the box of each leaf, both ends included; not used for categories.
        sets: (L, d, C) bool, the categories of each leaf; all True for a number.
        category: (d,) bool, True for a feature with categories.
        answers: (L, K) probabilities.
    """

    low: Tensor
    high: Tensor
    sets: Tensor
    category: Tensor
    logits: Tensor

    def __init__(
        self, low: Tensor, high: Tensor, sets: Tensor, category: Tensor, answers: Tensor
    ) -> None:
        super().__init__()
        self.register_buffer("low", low)
        self.register_buffer("high", high)
        self.register_buffer("sets", sets)
        self.register_buffer("category", category)
        self.register_buffer("logits", answers.double().clamp_min(1e-30).log())

    def forward(self, rows: Tensor) -> Tensor:
        return torch.cat([self.logits[self.leaf(part)] for part in rows.split(256)])

    def leaf(self, rows: Tensor) -> Tensor:
        """(n, d) -> (n,): the first leaf whose box contains the row.

        A row of an undiscovered leaf is in no box; it gets the leaf with the most conditions met.
        """
        x = rows[:, None, :]  # (n, 1, d) against (L, d)
        inside = (x >= self.low) & (x <= self.high)
        if self.sets.shape[2]:
            indices = rows.long().clamp(0, self.sets.shape[2] - 1)
            member = self.sets[:, torch.arange(rows.shape[1]), indices]  # (L, n, d)
            inside = torch.where(self.category, member.transpose(0, 1), inside)
        return inside.sum(2).argmax(1)


class ReluModel(nn.Module):
    """One hidden layer of ReLU units and a linear part: z = A relu(W x + b) + M x + c.

    Args:
        features: the d features of the table, all numbers.
        weight: (h, d) W, on rows that are scaled to [-1, 1].
        bias: (h,) b.
        out: (K, h + d + 1): A, M and c side by side.
    """

    weight: Tensor
    bias: Tensor
    out: Tensor

    def __init__(
        self, features: Sequence[Feature], weight: Tensor, bias: Tensor, out: Tensor
    ) -> None:
        super().__init__()
        self.extract = Extraction(features)
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.register_buffer("out", out)

    def forward(self, rows: Tensor) -> Tensor:
        return relu_columns(self.extract(rows), self.weight, self.bias) @ self.out.T


def relu_columns(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(n, d) -> (n, h + d + 1): the h units, the values themselves, and 1."""
    return torch.cat([(x @ weight.T + bias).relu(), x, torch.ones_like(x[:, :1])], 1)
