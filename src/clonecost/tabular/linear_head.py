"""Solve for a linear softmax head on known features by its answers.

Unrounded probabilities give linear equations (`training.log_ratio_head`). Answers that show less
are fitted with several penalties, and the one that fits a fifth of the rows best, which it has not
seen, is taken: rounded and top-k answers by equations and bounds, labels by their likelihood
(multinomial regression).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import scipy.linalg
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clonecost.tabular.equation_solver import solve
from clonecost.training.log_ratio_head import Basis, Head, Way, by_log_ratios
from clonecost.types import AnswerKind

HELD_OUT = tuple(10.0**power for power in range(-1, -10, -1))  # penalties of the further fits
FIFTH = 5  # one of so many rows is held out
WORSE = 1.3  # times the best loss on them: weaker penalties are not tried
SMALL_STEP = 1e-7  # answers rounded to it are float32's own
ROUNDS, STEPS = 6, 40  # of the bounds that hold, and of conjugate gradients in each
TOLERANCE = 1e-18  # of the squared residual at which they end
ITERATIONS, GRADIENT = 100, 1e-5  # of the likelihood's search
SMALLEST = 1e-300
DIGITS = 5  # steps: a probability of more of them counts as exact
BOUND = 0.1  # weight of a bound that does not hold


def solve_head(features: Tensor, answers: Tensor, kind: AnswerKind, *, step: float = 0.0) -> Head:
    """The head whose answers these are.

    Args:
        features: (n, d).
        answers: (n, K) probabilities, one-hot labels, or probabilities of the shown classes that
            sum to 1. Their type says how small a probability can have digits.
        kind: what the answers show.
        step: to which probabilities are rounded; 0: they are not.

    Example:
        >>> features = torch.randn(50, 4, dtype=torch.float64)
        >>> answers = (features @ torch.randn(3, 4, dtype=torch.float64).T).softmax(1)
        >>> solve_head(features, answers, "probs").explained > 0.999_999
        True
    """
    floor = max(step / 2, 10 * torch.finfo(answers.dtype).tiny)
    features, answers = features.double().cpu(), answers.double().cpu()
    if len(features) < 2:
        weight = torch.zeros(answers.shape[1], features.shape[1]).double()
        return Head(weight, answers.clamp_min(floor).log().mean(0), "equations")
    known = answers > floor
    if kind == "probs" and bool(known.all()) and step < SMALL_STEP:
        return by_log_ratios(features, answers, floor)
    seen = _Seen(answers, known, step, kind, floor)
    make = _likelihood if kind == "label" else _bounded
    if len(features) < 2 * FIFTH:
        return _fit(make, Basis.of(features), seen, HELD_OUT[0])[0]
    held = torch.arange(len(features)) % FIFTH == FIFTH - 1
    basis, train, rest = Basis.of(features[~held]), seen.of(~held), seen.of(held)
    best: tuple[float, float, Head] | None = None
    start: Tensor | None = None
    for share in HELD_OUT:  # from the strongest on
        head, start = _fit(make, basis, train, share, start)
        found = rest.measured(head, features[held])
        loss = rest.loss(head.logits(features[held]))
        if best is None or loss < best[0]:
            best = loss, share, found
        elif loss > WORSE * best[0]:  # weaker penalties fit the other rows only
            break
    assert best is not None
    _, share, measured = best
    whole = Basis.of(features)  # from the head that was measured: few steps go a short way
    head, _ = _fit(make, whole, seen, share, whole.unknowns(measured))
    return replace(head, explained=measured.explained, held_out=measured.held_out)


def pivoted_rows(features: Tensor, count: int) -> Tensor:
    """The places of `count` rows whose features span the space best, the best first.

    Pivoted QR: each row is the one farthest from the span of those before it. When the rows span
    the space, the next ones are chosen among the rest in the same way.

    Args:
        features: (n, d).

    Returns (min(count, n),) int64.

    Example:
        >>> pivoted_rows(torch.tensor([[1.0, 0.0], [1.1, 0.0], [0.0, 1.0]]), 2).sort().values
        tensor([1, 2])
    """
    x = features.double().cpu()
    x = (x - x.mean(0)) / x.std(0).clamp_min(1e-12) if len(x) > 1 else x
    rows = torch.cat([x, torch.ones(len(x), 1).double()], 1).numpy()  # the bias is unknown, too
    left, chosen = np.arange(len(rows)), np.arange(0)
    while len(left) and len(chosen) < count:
        _, pivots = scipy.linalg.qr(rows[left].T, mode="r", pivoting=True, check_finite=False)
        first = left[pivots[: rows.shape[1]]]
        chosen, left = np.concatenate([chosen, first]), np.setdiff1d(left, first)
    return torch.from_numpy(chosen[:count])


# -- answers that show less ----------------------------------------------------------------------


@dataclass(frozen=True)
class _Seen:
    """Answers, and what they say of each class."""

    answers: Tensor  # (n, K)
    known: Tensor  # (n, K) bool: the probability has digits
    step: float
    kind: AnswerKind
    floor: float

    def of(self, rows: Tensor) -> "_Seen":
        return replace(self, answers=self.answers[rows], known=self.known[rows])

    @property
    def bound(self) -> Tensor:
        """(n, 1) the largest probability that a class without digits can have."""
        if self.kind != "top_k":
            return torch.full((len(self.answers), 1), self.floor).double()
        return self.answers.masked_fill(~self.known, 1.0).amin(1, keepdim=True)

    @property
    def shown(self) -> Tensor:
        """(n, K) bool: the classes over which the answers are a distribution."""
        return self.known if self.kind == "top_k" else torch.ones_like(self.known)

    def loss(self, logits: Tensor) -> float:
        """The mean cross-entropy of the answers, over the classes that they show."""
        return float(_cross_entropy(logits, self.answers, self.shown))

    def measured(self, head: Head, features: Tensor) -> Head:
        """The head with its measures on these rows, which it has not seen."""
        logits = head.logits(features)
        right = (logits.argmax(1) == self.answers.argmax(1)).double().mean()
        weight = self.known.double()
        y = self.answers.clamp_min(self.floor).log()
        errors = _centred(logits - y, weight)
        spread = _centred(y - (y * weight).sum(0) / weight.sum(0).clamp_min(1), weight)
        explained = 1 - float(errors.square().sum() / spread.square().sum().clamp_min(1e-300))
        if self.kind == "label":
            explained = float("nan")
        return replace(head, explained=explained, held_out=float(right))


def _centred(values: Tensor, weight: Tensor) -> Tensor:
    """Less the weighted mean of each row; 0 where the weight is."""
    mean = (weight * values).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp_min(1e-300)
    return (values - mean) * (weight > 0)


# (design, penalty of each unknown, what is seen, start) -> unknowns of each class
Make = Callable[[Tensor, Tensor, _Seen, Tensor], Tensor]


def _fit(
    make: Make, basis: Basis, seen: _Seen, share: float, start: Tensor | None = None
) -> tuple[Head, Tensor]:
    """The head, and its unknowns, in coordinates in which the equations are about equal.

    Args:
        start: unknowns of another penalty.
    """
    n, classes = seen.answers.shape
    design = torch.cat([basis.u * basis.s, basis.level.expand(n, 1)], 1)
    penalty = share * basis.s[0] ** 2
    scale = (torch.cat([basis.s, basis.s[:1]]) ** 2 + penalty).sqrt()[:, None]
    begin = torch.zeros(len(scale), classes).double() if start is None else start
    found = make(design / scale.T, penalty / scale**2, seen, begin * scale) / scale
    way: Way = "likelihood" if seen.kind == "label" else "bounded equations"
    return basis.head(found[:-1], found[-1] * basis.level, way), found


def _bounded(design: Tensor, penalty: Tensor, seen: _Seen, start: Tensor) -> Tensor:
    """min over X  sum_ik ω_ik (z_ik - c_i - y_ik)^2 + penalty, z = design X.

    y = log p where p has digits. A class without digits has at most the probability `bound`: it
    counts with y = log bound while the solution gives it more. c_i, the row's own constant, is
    solved for: it is the weighted mean. An error of half a step of p changes its logarithm by
    step / (2 p), hence ω ~ p^2 for rounded answers, up to 1.
    """
    y = torch.where(seen.known, seen.answers, seen.bound).clamp_min(SMALLEST).log()
    weight = torch.ones_like(y)
    if seen.step:
        weight = (y.exp() / (DIGITS * seen.step)).square().clamp_max(1)
        weight = torch.where(seen.known, weight, BOUND)
    counts, x = seen.known, start
    for _ in range(ROUNDS):
        now = weight * counts
        operator = partial(_normal, design, penalty, now)
        x = _conjugate_gradients(operator, design.T @ (now * _centred(y, now)), x)
        above = design @ x - y
        above = above - (now * above).sum(1, keepdim=True) / now.sum(1, keepdim=True)
        before, counts = counts, seen.known | (above > 0)
        if bool((before == counts).all()):
            break
    return x


def _normal(design: Tensor, penalty: Tensor, weight: Tensor, x: Tensor) -> Tensor:
    return design.T @ (weight * _centred(design @ x, weight)) + penalty * x


def _conjugate_gradients(operator: Callable[[Tensor], Tensor], right: Tensor, x: Tensor) -> Tensor:
    residual = right - operator(x)
    direction, norm, first = residual, residual.square().sum(), right.square().sum()
    for _ in range(STEPS):
        if norm <= TOLERANCE * first:
            break
        image = operator(direction)
        size = norm / (direction * image).sum()
        x, residual = x + size * direction, residual - size * image
        norm, before = residual.square().sum(), norm
        direction = residual + norm / before * direction
    return x


class _Unknowns(nn.Module):
    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.x = nn.Parameter(start)


def _likelihood(design: Tensor, penalty: Tensor, seen: _Seen, start: Tensor) -> Tensor:
    """min over X  sum_i CE(label_i, softmax z_i) + penalty, z = design X: a convex search."""
    model = _Unknowns(start)

    def loss() -> Tensor:
        data = _cross_entropy(design @ model.x, seen.answers, seen.shown) * len(design)
        return data + (penalty * model.x.square()).sum() / 2

    solve(model, loss, solver="l-bfgs-b", gradient=GRADIENT, iterations=ITERATIONS)
    return model.x.detach()


def _cross_entropy(logits: Tensor, answers: Tensor, shown: Tensor) -> Tensor:
    masked = logits.masked_fill(~shown, -1e30)
    return -(answers * F.log_softmax(masked, 1)).sum(1).mean()
