"""Kinks of a function that is linear in pieces, on a line.

The line is x(t) = start + t direction, and the function has `outputs` columns. An interval of it is
asked at three inner points. On the chord: no kink. Else the straight pieces from both ends cross
at t*; if the function is there, and on both sides of it, what these pieces say, t* is its only
kink. Else the interval is halved. The unequal fractions keep two kinks from hiding each other. All
intervals are asked at once.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass

import torch
from torch import Tensor

from clonecost.attacks.base import Clone

INNER = (0.23, 0.5, 0.73)
MARGIN = 1e-4  # of an interval: nearer to the first or last inner point t* is no kink
BESIDE = 0.1  # of an interval: further points on both sides of t*
NARROWEST = 1e-9  # of the line: an interval that is not halved any more
MOST_INTERVALS = 3_000  # more are open in curved functions only
OFTEN, FEW = 16, 0.01  # so many times the first intervals are open, and a kink in so few: curved
# asks t, (m,): the values (m, O) and their errors (m,), infinite for unusable ones
Ask = Callable[[Tensor], Generator[Clone, None, tuple[Tensor, Tensor]]]


@dataclass
class Found:
    """The place of each kink, (k,); `curved`: it is not linear in pieces."""

    t: Tensor
    curved: bool = False


def kinks(ask: Ask, length: float, first: int, *, floor: float) -> Generator[Clone, None, Found]:
    """Find the kinks on a line of that length, which starts with `first` equal intervals.

    Args:
        floor: errors below this are not looked at, in the unit of the values.
    """
    t = torch.linspace(0, 1, first + 1, dtype=torch.float64) * length
    f, error = yield from ask(t)
    usable = (error[:-1] < torch.inf) & (error[1:] < torch.inf)
    left, right, f_left, f_right = (one[usable] for one in (t[:-1], t[1:], f[:-1], f[1:]))
    found = [left[:0]]
    while len(left):
        few = sum(map(len, found)) < FEW * len(left)
        if len(left) > MOST_INTERVALS or (few and len(left) >= OFTEN * first):
            return Found(torch.cat(found), curved=True)
        wide = right - left
        q = left[:, None] + wide[:, None] * torch.tensor(INNER, dtype=torch.float64)
        f, error = yield from ask(q.flatten())
        f, error = f.view(len(left), 3, -1), error.view(-1, 3)
        told = (error < torch.inf).all(1)
        noise = (50 * error.amax(1)).clamp_min(floor)[:, None]
        share = torch.tensor(INNER, dtype=torch.float64)[:, None]
        chord = f_left[:, None] + share * (f_right - f_left)[:, None]
        bent = told & ((f - chord).abs() > noise[:, None]).flatten(1).any(1)
        # the pieces from both ends, and where they cross
        m_left = (f[:, 0] - f_left) / (q[:, 0] - left)[:, None]
        m_right = (f_right - f[:, 2]) / (right - q[:, 2])[:, None]
        turn = m_left - m_right
        column = turn.abs().argmax(1, keepdim=True)
        at = (f_right - f_left + m_left * left[:, None] - m_right * right[:, None]).gather(
            1, column
        ) / turn.gather(1, column)
        at = at[:, 0].nan_to_num(-torch.inf)
        one = bent & (at > q[:, 0] + MARGIN * wide) & (at < q[:, 2] - MARGIN * wide)
        accepted = torch.zeros_like(one)
        if one.any():
            k = one.nonzero()[:, 0]
            places = at[k][:, None] + wide[k][:, None] * torch.tensor([-BESIDE, 0.0, BESIDE])
            g, error = yield from ask(places.flatten())
            g = torch.cat([g.view(len(k), 3, -1), f[k, 1:2]], 1)
            error = error.view(-1, 3)
            places = torch.cat([places, q[k, 1:2]], 1)[..., None]
            before = f_left[k][:, None] + m_left[k][:, None] * (places - left[k][:, None, None])
            after = f_right[k][:, None] - m_right[k][:, None] * (right[k][:, None, None] - places)
            says = torch.where(places < at[k][:, None, None], before, after)
            # slopes are known to the noise over a quarter of the interval
            near = 20 * torch.maximum(noise[k], (50 * error.amax(1))[:, None])[:, None]
            right_here = ((g - says).abs() <= near).flatten(1).all(1)
            # at t* both pieces hold
            both = ((before[:, 1] - after[:, 1]).abs() <= near[:, 0]).all(1)
            accepted[k] = right_here & both & (error < torch.inf).all(1)
        found.append(at[accepted])
        go = (bent | ~told) & ~accepted & (wide > NARROWEST * length)
        go &= told | (wide > length / (8 * first))
        go &= f[:, 1].isfinite().all(1)  # the middle becomes an end
        left, right, f_left, f_right = (
            torch.cat([a[go], b[go]])
            for a, b in ((left, q[:, 1]), (q[:, 1], right), (f_left, f[:, 1]), (f[:, 1], f_right))
        )
    return Found(torch.cat(found))
