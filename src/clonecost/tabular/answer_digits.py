"""What probabilities themselves show: their rounding, and the width of the layer behind them."""

from dataclasses import dataclass

import torch
from torch import Tensor

ROUNDED = 0.5  # share of the answers that are multiples of a step: the others are renormalised
GAP = 30.0  # between two singular values, where noise begins; neighbours differ by less
NOISE = 1e-4  # of the largest singular value: below it lies what float32 leaves


def step_of(answers: Tensor) -> float:
    """The step to which most answers are rounded, 1 to 1e-5; 0 if they are not rounded.

    Example:
        >>> step_of(torch.tensor([[0.25, 0.75], [0.5, 0.5]]))
        0.01
    """
    parts = answers[(answers > 0) & (answers < 1)].double()
    for digits in range(6):
        scaled = parts * 10**digits
        multiple = (scaled - scaled.round()).abs() < 1e-6 * 10**digits
        if multiple.sum() >= ROUNDED * len(parts):
            return float(10.0**-digits)
    return 0.0


@dataclass(frozen=True)
class Width:
    """How many features the last layer has, as the rank of its answers shows it.

    Attributes:
        rank: of the centred log-probabilities; the number of features, or one less.
        seen: whether there are fewer features than rows and classes could show; else the rank is
            a lower bound.
        gap: between the last singular value that counts and the next.
    """

    rank: int
    seen: bool
    gap: float


def width_of(answers: Tensor) -> Width | None:
    """The rank of log p_k - mean_j log p_j over the rows, less their mean.

    A linear last layer of d features gives at most the rank d, whatever the number of classes.

    Args:
        answers: (n, K) probabilities that are not rounded.

    Returns None where too few rows have a positive probability of every class.

    Example:
        >>> logits = torch.randn(50, 3).double() @ torch.randn(3, 20).double()
        >>> width_of(logits.softmax(1)).rank
        3
    """
    p = answers.double()
    p = p[(p > 10 * torch.finfo(answers.dtype).tiny).all(1)]
    if len(p) < 3:
        return None
    y = p.log()
    y = y - y.mean(1, keepdim=True)
    values = torch.linalg.svdvals(y - y.mean(0))
    most = min(len(p) - 1, p.shape[1] - 1)
    values = values[:most].clamp_min(values[0] * 1e-16)
    ratios = values[:-1] / values[1:]
    if not len(ratios):
        return Width(most, False, 1.0)
    at = int(ratios.argmax())
    if ratios[at] < GAP or values[at + 1] > NOISE * values[0]:
        return Width(most, False, float(ratios[at]))
    return Width(at + 1, True, float(ratios[at]))
