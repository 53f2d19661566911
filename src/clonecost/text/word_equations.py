"""The equations that answers to one and two words give for a linear model over words.

Logits are known up to a constant a row, so they are centred: z_k = log p_k - mean log p. With the
bias b and the centred effect a_w = z("w") - b of a word alone:

    without a norm    a_w = f(1) s_w Theta_w,  and effects of words add up
    with a norm       a_w = Theta_w; beside a known word r, v = (s_w, s_r) / |(s_w, s_r)|:
                      z("w r") - b = u a_w + v a_r,  which gives s_w / s_r = u / v
"""

from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor

from clonecost.text.word_model import Counts, Norm, repeats

GRID = 512  # angles tried first
ROUNDS, PART = 12, 16  # then the interval shrinks so often, to 2 of so many parts
STEPS = 4  # of Gauss and Newton at the end


def centred(answers: Tensor, step: float = 0.0) -> Tensor:
    """(n, K) probabilities -> (n, K) centred logarithms, float64; a 0 is half a rounding step.

    Example:
        >>> centred(torch.tensor([[0.5, 0.5]]))
        tensor([[0., 0.]], dtype=torch.float64)
    """
    logs = answers.double().clamp_min(step / 2 if step else 1e-30).log()
    return logs - logs.mean(1, keepdim=True)


def ratios(beside: Tensor, alone: Tensor, known: Tensor, norm: Norm) -> Tensor:
    """(n,) s_w / s_r from z("w r") - b, the word's own effect, and the known word's; each (n, K).

    Example:
        >>> a, r = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 4.0]])
        >>> ratios(0.6 * a + 0.8 * r, a, r, "l2")
        tensor([0.7500], dtype=torch.float64)
    """
    y, a, r = beside.double(), alone.double(), known.double()
    if norm == "l1":
        share = ((y - r) * (a - r)).sum(1) / ((a - r) ** 2).sum(1).clamp_min(1e-300)
        return (share / (1 - share)).clamp(1e-9, 1e9)
    quarter = torch.pi / 2

    def gap(angle: Tensor) -> Tensor:  # (n, m) -> (n, m)
        u, v = angle.sin()[..., None], angle.cos()[..., None]
        return (y[:, None] - u * a[:, None] - v * r[:, None]).square().sum(2)

    angles = (torch.arange(GRID, dtype=torch.float64) + 0.5) * quarter / GRID
    best = torch.cat([_first(angles, *some) for some in zip(*(x.split(256) for x in (y, a, r)),
                                                            strict=True)])  # fmt: skip
    width = quarter / GRID
    for _ in range(ROUNDS):
        near = best[:, None] + width * torch.linspace(-1, 1, PART + 1, dtype=torch.float64)
        best = near.gather(1, gap(near).argmin(1, keepdim=True))[:, 0]
        width *= 2 / PART
    for _ in range(STEPS):  # the minimum of a square is only known to half the digits
        u, v = best.sin()[:, None], best.cos()[:, None]
        slope = v * a - u * r
        rest = y - u * a - v * r
        best = best + (rest * slope).sum(1) / slope.square().sum(1).clamp_min(1e-300)
    return best.clamp(1e-9, quarter - 1e-9).tan()


def _first(angles: Tensor, y: Tensor, a: Tensor, r: Tensor) -> Tensor:
    u, v = angles.sin()[None, :, None], angles.cos()[None, :, None]
    gap = (y[:, None] - u * a[:, None] - v * r[:, None]).square().sum(2)
    return angles[gap.argmin(1)]


@dataclass(frozen=True)
class Form:
    """How a model counts and scales words, and by how much the answers contradict that."""

    norm: Norm
    counts: Counts
    error: float  # largest, of a centred logarithm


def form_of(once: Tensor, more: Tensor, first: Tensor, second: Tensor) -> Form:
    """The form of a model from the answers to "r s", "r r s" and "r r r s" for two known words.

    Args:
        once: (K,) z("r s") - b.
        more: (2, K) z - b of r twice and three times beside s.
        first, second: (K,) the effects of r and of s alone.
    """
    found = []
    for norm in get_args(Norm):
        for counts in get_args(Counts):
            one = _predicted(once, first, second, norm, repeats(counts, 1))
            guesses = torch.stack([
                one, *(_predicted(once, first, second, norm, repeats(counts, k)) for k in (2, 3))
            ])  # fmt: skip
            error = float((guesses - torch.cat([once[None], more])).abs().max())
            found.append(Form(norm, counts, error))
    # linear counts and the norm of scikit-learn's default win a tie
    order = ("l2", "none", "l1")
    return min(found, key=lambda one: (round(one.error, 9), order.index(one.norm)))


def _predicted(once: Tensor, first: Tensor, second: Tensor, norm: Norm, times: float) -> Tensor:
    if norm == "none":
        return times * first + second
    ratio = times * ratios(once[None], first[None], second[None], norm)[0]
    size = (ratio**2 + 1).sqrt() if norm == "l2" else ratio + 1
    return (ratio * first + second) / size
