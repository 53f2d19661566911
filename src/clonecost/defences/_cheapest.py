"""The cheapest answer near the true one: a linear programme, solved for all rows at once."""

from typing import NamedTuple

import torch
from torch import Tensor

STEPS = 60  # of the ternary search: (2/3)^60 of the interval is below float64's resolution


def cheapest(y: Tensor, cost: Tensor, epsilon: float, margin: float) -> Tensor:
    """The minimum of sum_k cost_k y'_k within L1 distance epsilon of y that keeps its top class.

    y' lies on the simplex, its top class `margin` above all others. For a given value s of the top
    class the rest is greedy, and the optimum is convex in s. A row without such an answer (its top
    class is too close to the next) comes back unchanged.

    Args:
        y: (n, K) float64 answers on the simplex.
        cost: (n, K) float64, of about 1 to 100 in size: 1e6 is the price of a broken constraint.

    Returns:
        (n, K) answers.
    """
    classes = y.shape[1]
    place = y.argmax(1, keepdim=True)
    order = cost.scatter(1, place, torch.inf).argsort(dim=1, stable=True)  # the top class last
    row = _Row(y.gather(1, place), y.gather(1, order)[:, :-1],
               cost.gather(1, place), cost.gather(1, order)[:, :-1])  # fmt: skip
    low = (row.top - epsilon / 2).clamp_min(1 / classes)
    high = (row.top + epsilon / 2).clamp_max(1.0)
    for _ in range(STEPS):
        third = (high - low) / 3
        left = _best(low + third, row, epsilon, margin).objective
        right = _best(high - third, row, epsilon, margin).objective
        low, high = (
            torch.where(left <= right, low, low + third),
            torch.where(left <= right, high - third, high),
        )
    s = (low + high) / 2
    found = _best(s, row, epsilon, margin)
    answer = torch.empty_like(y).scatter(1, order, torch.cat([found.others, s], 1))
    return torch.where(found.excess > 1e-9, y, answer)


class _Row(NamedTuple):
    """The true answers with the cheap classes first: (n, 1) of the top class, (n, K - 1)."""

    top: Tensor
    others: Tensor
    top_cost: Tensor
    other_costs: Tensor


class _Best(NamedTuple):
    """The best answers for given top values s: (n, 1) each, and (n, K - 1)."""

    objective: Tensor  # with a penalty where no answer exists
    excess: Tensor  # L1 distance or capacity that is missing; 0: the answer is allowed
    others: Tensor


def _best(s: Tensor, row: _Row, epsilon: float, margin: float) -> _Best:
    """Cap the others at s - margin, balance the sum, then move mass from dear to cheap classes."""
    cap = (s - margin).clamp_min(0)
    value = row.others.minimum(cap)
    missing = 1 - s - value.sum(1, keepdim=True)  # > 0: to be added; < 0: to be taken away
    spent = (s - row.top).abs() + (row.others - value).sum(1, keepdim=True) + missing.abs()
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
    cost = (row.other_costs * value).sum(1, keepdim=True) + row.top_cost * s
    return _Best(cost + 1e6 * excess, excess, value)


def _added(value: Tensor, cap: Tensor, mass: Tensor) -> Tensor:
    """The values with `mass` put on the cheapest classes, each up to the cap."""
    room = cap - value
    before = room.cumsum(1) - room
    return value + (mass - before).clamp_min(0).minimum(room)


def _taken(value: Tensor, mass: Tensor) -> Tensor:
    """The values with `mass` taken from the dearest classes, each down to 0."""
    after = value.sum(1, keepdim=True) - value.cumsum(1)
    return value - (mass - after).clamp_min(0).minimum(value)
