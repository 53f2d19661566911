"""A linear softmax head by the log-ratios of probabilities: least squares, in float64.

    z = W f + b,  p = softmax z
    y_k := log p_k - mean_j log p_j = (w_k - mean_j w_j) f + b_k - mean_j b_j     K equations a row

One singular value decomposition of the n rows' features, less their mean, serves all K classes and
all penalties: F = U S V', and with D = S^2 / (S^2 + λ)

    fitted = U D U' Y        left out = (Y - fitted) / (1 - h),  h = 1/n + diag(U D U')

are the ridge solution and its error on each row when that row is left out, exactly. The penalty
with the least such error is taken; fewer rows than unknowns give the smallest weights.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

Way = Literal["equations", "bounded equations", "likelihood"]

PENALTIES = tuple(10.0**power for power in range(-20, 1))  # λ, times the largest S^2
FEW_ROWS = 1e-11  # with no more rows than unknowns a smaller penalty leaves only rounding errors
SCORED = 512  # rows by whose errors the penalty is chosen: enough for a choice among 21


@dataclass(frozen=True)
class Head:
    """A head, and how it was found.

    Attributes:
        weight: (K, d) float64.
        bias: (K,) float64.
        way: by which equations or likelihood.
        explained: share of the variation of y on rows that were left out, at most 1; nan: it was
            not measured. 1 means that the answers are this function of the features.
        held_out: share of left-out rows whose predicted class is right; nan likewise.

    Example:
        >>> head = solve_head(features, answers, "probs")  # doctest: +SKIP
        >>> head.logits(features).argmax(1)  # doctest: +SKIP
    """

    weight: Tensor
    bias: Tensor
    way: Way
    explained: float = float("nan")
    held_out: float = float("nan")

    def logits(self, features: Tensor) -> Tensor:
        """(n, d) features -> (n, K) float64."""
        return features.double() @ self.weight.T + self.bias


@dataclass(frozen=True)
class Basis:
    """F - mean = U S V': rows, their mean, and where the features are in its coordinates."""

    mean: Tensor  # (d,)
    u: Tensor  # (n, r)
    s: Tensor  # (r,)
    vt: Tensor  # (r, d)

    @classmethod
    def of(cls, features: Tensor) -> "Basis":
        mean = features.mean(0)
        u, s, vt = scipy.linalg.svd(
            (features - mean).numpy(), full_matrices=False, check_finite=False
        )
        rank = max(1, int((s > s[0] * 1e-13).sum()))
        u, s, vt = (torch.from_numpy(np.ascontiguousarray(part)) for part in (u, s, vt))
        return cls(mean, u[:, :rank], s[:rank].clamp_min(1e-150), vt[:rank])

    def head(self, solution: Tensor, level: Tensor, way: Way) -> Head:
        """The head of weights (r, K) in these coordinates, and of the logits at the mean, (K,)."""
        weight = (self.vt.T @ solution).T
        return Head(weight, level - weight @ self.mean, way)

    @property
    def level(self) -> Tensor:
        """() the value of the bias's own feature, in the size of the others."""
        return self.s[0] / len(self.u) ** 0.5

    def unknowns(self, head: Head) -> Tensor:
        """(r + 1, K): a head in these coordinates, the bias last."""
        level = head.weight @ self.mean + head.bias
        return torch.cat([self.vt @ head.weight.T, level[None] / self.level])


def by_log_ratios(features: Tensor, answers: Tensor, floor: float) -> Head:
    """The head of the least squares.

    Args:
        features: (n, d), at least two rows.
        answers: (n, K) probabilities.
        floor: smaller ones count as it.

    Example:
        >>> features = torch.randn(50, 4, dtype=torch.float64)
        >>> answers = (features @ torch.randn(3, 4, dtype=torch.float64).T).softmax(1)
        >>> by_log_ratios(features, answers, 1e-30).explained > 0.999_999
        True
    """
    features, answers = features.double().cpu(), answers.double().cpu()
    n, d = features.shape
    basis = Basis.of(features)
    y = answers.clamp_min(floor).log()
    y = y - y.mean(1, keepdim=True)
    level = y.mean(0)
    target = basis.u.T @ (y - level)  # (r, K)
    some = torch.arange(n)[:: max(1, n // SCORED)]
    best: tuple[float, float] | None = None
    for share in PENALTIES:
        if n > d + 1 or share >= FEW_ROWS:
            errors = _left_out(basis, y[some] - level, target, some, share)
            p = answers[some]
            # to second order the divergence of the clone's answers from the victim's
            apart = errors - (p * errors).sum(1, keepdim=True)
            score = float((p * apart * apart).sum())
            if best is None or score < best[0]:
                best = score, share
    assert best is not None
    shrunk = basis.s / (basis.s**2 + best[1] * basis.s[0] ** 2)
    head = basis.head(shrunk[:, None] * target, level, "equations")
    errors = _left_out(basis, y - level, target, torch.arange(n), best[1])
    explained = 1 - float(errors.square().sum() / (y - level).square().sum().clamp_min(1e-300))
    right = ((y - errors).argmax(1) == answers.argmax(1)).double().mean()
    return replace(head, explained=explained, held_out=float(right))


def _left_out(basis: Basis, y: Tensor, target: Tensor, rows: Tensor, share: float) -> Tensor:
    """The errors of each of the rows under the solution of all other rows."""
    u = basis.u[rows]
    kept = basis.s**2 / (basis.s**2 + share * basis.s[0] ** 2)
    own = 1 / len(basis.u) + (u * u) @ kept
    return (y - u @ (kept[:, None] * target)) / (1 - own).clamp_min(1e-14)[:, None]
