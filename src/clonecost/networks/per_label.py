"""Several labels a row, each present or absent, as one answer on the simplex.

A multi-label API gives each of L labels a probability p of its own. Its answer travels as (n, 2 L):
p / L for each label, then (1 - p) / L for each. Every row sums to 1, so that oracle, ledger and
distillation stay as they are, and KL(answer || clone) is the mean over the labels of the binary KL:
a student that ends in `PerLabel` is trained with binary cross-entropy.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clonecost.types import answered


def paired(chances: Tensor) -> Tensor:
    """(n, L) probabilities that a label is present -> (n, 2 L) on the simplex.

    Example:
        >>> paired(torch.tensor([[1.0, 0.25]]))
        tensor([[0.5000, 0.1250, 0.0000, 0.3750]])
    """
    return torch.cat([chances, 1 - chances], 1) / chances.shape[1]


def chances_of(answers: Tensor) -> Tensor:
    """(n, 2 L) answers or their logits' soft-max -> (n, L) probabilities that a label is present.

    Example:
        >>> chances_of(torch.tensor([[0.5, 0.125, 0.0, 0.375]]))
        tensor([[1.0000, 0.2500]])
    """
    present, absent = answers.chunk(2, dim=1)
    return present / (present + absent).clamp_min(torch.finfo(answers.dtype).tiny)


def present(answers: Tensor) -> Tensor:
    """(n, 2 L) answers or logits -> (n, L) bool: whether a label is present, at the threshold 0.5.

    Example:
        >>> present(torch.tensor([[0.5, 0.125, 0.0, 0.375]]))
        tensor([[ True, False]])
    """
    there, absent = answers.chunk(2, dim=1)
    return there > absent


def decisions(answers: Tensor, *, several: bool) -> Tensor:
    """(n, K) answers -> (n, K) bool: the top class; of several labels what is decided on each.

    A refused row, all zeros, decides nothing.

    Example:
        >>> decisions(torch.tensor([[0.2, 0.8], [0.0, 0.0]]), several=False).int()
        tensor([[0, 1],
                [0, 0]], dtype=torch.int32)
    """
    if several:
        there = present(answers)
        made = torch.cat([there, ~there], 1)
    else:
        made = F.one_hot(answers.argmax(1), answers.shape[1]).bool()
    return made & answered(answers)[:, None]


class PerLabel(nn.Module):
    """A network of L logits, one a label, as a classifier of 2 L classes.

    The soft-max of its (n, 2 L) logits is (1 / L) (sigmoid(z), sigmoid(-z)): the labels stay
    independent.

    Example:
        >>> PerLabel(nn.Linear(4, 3))(torch.zeros(2, 4)).softmax(1).sum(1)
        tensor([1.0000, 1.0000], grad_fn=<SumBackward1>)
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor) -> Tensor:
        logits = self.network(inputs)
        return torch.cat([F.logsigmoid(logits), F.logsigmoid(-logits)], 1)
