"""ModelGuard-W: the answer within a distance that says least about the victim, top class kept."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from clonecost.defences.base import Declaration
from clonecost.errors import SpecError
from clonecost.types import Victim

STEPS = 60  # of the ternary search: (2/3)^60 of the interval is below float64's resolution


@dataclass(frozen=True, kw_only=True)
class ModelguardW:
    """Serve the minimum of sum_k log(y_k + 1e-6) y'_k over answers y' near the true one.

    y' lies on the simplex, within L1 distance epsilon of y, with its top class `margin` above all
    others. The linear programme is solved exactly, for all rows at once: for a given top value s
    the rest is greedy, and the optimum is convex in s. A row without a solution (its top class is
    too close to the next) is served unchanged.

    Source: Tang et al., USENIX Security 2024, "ModelGuard", §4.2.

    Example:
        >>> clean = torch.tensor([[0.9, 0.07, 0.03]])
        >>> ModelguardW(epsilon=0.5, margin=1e-4)(lambda _: clean)(torch.rand(1, 1, 8, 8))
        tensor([[0.6500, 0.0700, 0.2800]])

    Raises:
        SpecError: a setting is out of range.
    """

    epsilon: float = (
        1.0  # the largest L1 distance from the true answer; 0: answers stay as they are
    )
    margin: float = 1e-3  # how far the top class stays above the others, so that rounding keeps it

    declares: ClassVar = Declaration()

    def __post_init__(self) -> None:
        if not (0 <= self.epsilon <= 2 and 0 <= self.margin <= 0.1):
            raise SpecError("A setting of ModelGuard is out of range",
                            got=f"epsilon={self.epsilon:g}, margin={self.margin:g}",
                            want="epsilon 0 to 2, margin 0 to 0.1")  # fmt: skip

    def __call__(self, victim: Victim) -> Victim:
        def defended(inputs: Tensor, /) -> Tensor:
            clean = victim(inputs)
            if not self.epsilon:
                return clean
            return _solve(clean.double(), self.epsilon, self.margin).to(clean.dtype)

        return defended


class _Row(NamedTuple):
    """The best answers for given top values s: (n, 1) each, and (n, K - 1)."""

    objective: Tensor  # with a penalty where no answer exists
    excess: Tensor  # L1 distance or capacity that is missing; 0: the answer is allowed
    others: Tensor  # values of the other classes, cheapest first


def _solve(y: Tensor, epsilon: float, margin: float) -> Tensor:
    classes = y.shape[1]
    order = y.scatter(1, y.argmax(1, keepdim=True), 2.0).argsort(dim=1, stable=True)
    top = y.amax(1, keepdim=True)
    others = y.gather(1, order)[:, :-1]  # ascending: cheap classes first
    low = (top - epsilon / 2).clamp_min(1 / classes)
    high = (top + epsilon / 2).clamp_max(1.0)
    for _ in range(STEPS):
        third = (high - low) / 3
        left = _best(low + third, top, others, epsilon, margin).objective
        right = _best(high - third, top, others, epsilon, margin).objective
        low, high = (
            torch.where(left <= right, low, low + third),
            torch.where(left <= right, high - third, high),
        )
    s = (low + high) / 2
    found = _best(s, top, others, epsilon, margin)
    answer = torch.empty_like(y).scatter(1, order, torch.cat([found.others, s], 1))
    return torch.where(found.excess > 1e-9, y, answer)


def _best(s: Tensor, top: Tensor, others: Tensor, epsilon: float, margin: float) -> _Row:
    """Cap the others at s - margin, balance the sum, then move mass from dear to cheap classes."""
    cap = (s - margin).clamp_min(0)
    value = others.minimum(cap)
    missing = 1 - s - value.sum(1, keepdim=True)  # > 0: to be added; < 0: to be taken away
    spent = (s - top).abs() + (others - value).sum(1, keepdim=True) + missing.abs()
    room = (cap - value).sum(1, keepdim=True)
    excess = (spent - epsilon).clamp_min(0) + (missing - room).clamp_min(0)
    value = _added(value, cap, missing.clamp_min(0))
    value = _taken(value, (-missing).clamp_min(0))
    left = ((epsilon - spent) / 2).clamp_min(0)
    # no class may both give and get: at some cut all below get and all above give
    before = torch.cat([torch.zeros_like(s), (cap - value).cumsum(1)], 1)
    total = value.sum(1, keepdim=True)
    above = torch.cat([total, total - value.cumsum(1)], 1)
    moved = left.minimum(before.minimum(above).amax(1, keepdim=True).clamp_min(0))
    value = _added(_taken(value, moved), cap, moved)
    cost = ((others + 1e-6).log() * value).sum(1, keepdim=True) + (top + 1e-6).log() * s
    return _Row(cost + 1e6 * excess, excess, value)


def _added(value: Tensor, cap: Tensor, mass: Tensor) -> Tensor:
    """The values with `mass` put on the cheapest classes, each up to the cap."""
    room = cap - value
    before = room.cumsum(1) - room
    return value + (mass - before).clamp_min(0).minimum(room)


def _taken(value: Tensor, mass: Tensor) -> Tensor:
    """The values with `mass` taken from the dearest classes, each down to 0."""
    after = value.sum(1, keepdim=True) - value.cumsum(1)
    return value - (mass - after).clamp_min(0).minimum(value)
