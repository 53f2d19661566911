"""Choose between fits of a binned model by rows that they have not seen.

Which fit is best depends on the victim: cross-entropy weighs rows near a boundary most, squares of
log-odds find sums, and a forest takes larger trees. Every fifth bought row decides.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from clonecost.tabular.binned import BinnedModel, Fit, Scale, fit_binned
from clonecost.types import Feature

HELD_OUT = 5  # one row in five
LARGER = 4  # times the leaves, for a quarter of the trees
SAME = 1e-9  # of a cross-entropy: the first fit is kept


def fit_chosen(
    features: Sequence[Feature], edges: Sequence[Tensor], rows: Tensor, answers: Tensor, *,
    seed: int, fit: Fit, scale: Scale,
) -> BinnedModel:  # fmt: skip
    """The best of three fits: by cross-entropy, the same with larger trees, and by squares.

    Args:
        features, edges, rows, answers, seed, scale: as for `fit_binned`.
        fit: iterations and leaves of the first.

    Example:
        >>> fit_chosen(features, edges, rows, answers, seed=0, fit=Fit(), scale="log-odds")
    """
    first = replace(fit, loss="cross-entropy")
    larger = replace(first, leaves=LARGER * fit.leaves, iterations=max(1, fit.iterations // LARGER))
    fits = first, larger, replace(fit, loss="squares")
    held = torch.arange(len(rows), device=rows.device) % HELD_OUT == 0
    losses = []
    for one in fits:
        model = fit_binned(
            features, edges, rows[~held], answers[~held], seed=seed, fit=one, scale=scale
        )
        losses.append(_cross_entropy(model, rows[held], answers[held]))
    best = next(one for one, loss in zip(fits, losses, strict=True) if loss <= min(losses) + SAME)
    return fit_binned(features, edges, rows, answers, seed=seed, fit=best, scale=scale)


@torch.no_grad()
def least_sure(
    features: Sequence[Feature], edges: Sequence[Tensor], rows: Tensor, answers: Tensor, *,
    fit: Fit, order: Tensor, candidates: Tensor, count: int,
) -> Tensor:  # fmt: skip
    """(count,) places among (n, d) candidates where two fits, by cross-entropy, have least margin.

    Args:
        features, edges, rows, answers: as for `fit_binned`.
        fit: iterations and leaves.
        order: (len(rows),) a permutation; each fit gets one half of it.
    """
    total = torch.zeros(len(candidates), answers.shape[1], dtype=torch.float64)
    for part in order.to(rows.device).chunk(2):
        model = fit_binned(
            features, edges, rows[part], answers[part], seed=0,
            fit=replace(fit, loss="cross-entropy"),
        )  # fmt: skip
        total += model(candidates).softmax(1).cpu()
    top = total.topk(2, 1).values
    return (top[:, 1] - top[:, 0]).topk(count).indices


@torch.no_grad()
def _cross_entropy(model: BinnedModel, rows: Tensor, answers: Tensor) -> float:
    return float(F.cross_entropy(model(rows), answers.to(torch.float64)))
