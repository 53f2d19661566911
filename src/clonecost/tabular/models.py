"""Models of a table: (n, d) rows as sent -> (n, K) logits, in float64. One formula a class.

Each begins with the feature extraction (`clonecost.tabular.features`), and `softmax` of its output
gives the probabilities that its formula promises. They are what equation-solving attacks solve for.
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
        ovr: one-vs-rest; s is the logistic function.
    """

    def __init__(self, features: Sequence[Feature], num_classes: int, *, ovr: bool = False) -> None:
        super().__init__()
        self.extract, self.ovr = Extraction(features), ovr
        self.linear = nn.Linear(self.extract.width, num_classes, dtype=torch.float64)

    def forward(self, rows: Tensor) -> Tensor:
        z = self.linear(self.extract(rows))
        return F.logsigmoid(z) if self.ovr else z  # softmax log s(z) is s(z) over its sum


class TanhModel(nn.Module):
    """A perceptron with one hidden layer: p = softmax(V tanh(W x + b) + c)."""

    def __init__(self, features: Sequence[Feature], hidden: int, num_classes: int) -> None:
        super().__init__()
        self.extract = Extraction(features)
        self.hidden = nn.Linear(self.extract.width, hidden, dtype=torch.float64)
        self.out = nn.Linear(hidden, num_classes, dtype=torch.float64)

    def forward(self, rows: Tensor) -> Tensor:
        return self.out(self.hidden(self.extract(rows)).tanh())


class RbfModel(nn.Module):
    """Kernel logistic regression: p = softmax(A K(x) + b), K_s(x) = exp(-gamma |x - x_s|^2)."""

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
    """The same class for every row: all that can be said before a second label was seen."""

    logits: Tensor

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.register_buffer("logits", answer.double().clamp_min(1e-30).log())

    def forward(self, rows: Tensor) -> Tensor:
        return self.logits.expand(len(rows), -1)


class RuleModel(nn.Module):
    """A decision tree as its leaves: each a box, and the answer of every row inside it.

    Args:
        low, high: (L, d) the box of each leaf, both ends included; of a category, see `sets`.
        sets: (L, d, C) bool: the categories that belong; all of them where a feature has none.
        category: (d,) bool.
        answers: (L, K).
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
        """(n, d) -> (n,) the first leaf whose box holds the row, else the one nearest to do so.

        A row of a leaf that nobody found is in no box; it goes where most conditions hold.
        """
        x = rows[:, None, :]  # (n, 1, d) against (L, d)
        inside = (x >= self.low) & (x <= self.high)
        if self.sets.shape[2]:
            places = rows.long().clamp(0, self.sets.shape[2] - 1)
            member = self.sets[:, torch.arange(rows.shape[1]), places]  # (L, n, d)
            inside = torch.where(self.category, member.transpose(0, 1), inside)
        return inside.sum(2).argmax(1)
