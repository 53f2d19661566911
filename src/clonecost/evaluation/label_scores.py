"""Scores of a clone of a multi-label model: agreement per label, and the mean over the labels.

A label is present or absent at the threshold 0.5. The decisions on one row are no sample of their
own, so every interval takes the rows, and not the decisions, as the sample.
"""

import math

import torch
from torch import Tensor

from clonecost.evaluation.chance import Z_SQUARED, balanced
from clonecost.result import ClassAgreement, Rate


def label_agreement(agrees: Tensor) -> Rate:
    """The share of true entries in (n, L), with a 95 % Wilson interval over the rows.

    The interval is that of as many independent decisions as vary like the rows' own shares do.

    Example:
        >>> found = label_agreement(torch.tensor([[True, True], [True, False]]).repeat(50, 1))
        >>> found.value, 0.68 < found.low < 0.7
        (0.75, True)
    """
    shares = agrees.double().mean(1)
    return _wilson(float(shares.mean()), _independent(shares))


def label_majority(victim: Tensor) -> float:
    """Agreement of a clone that gives each label the victim's more frequent decision, in (0, 1].

    Args:
        victim: (n, L) bool.

    Example:
        >>> label_majority(torch.tensor([[True, False], [True, True]]))
        0.75
    """
    return float(_majorities(victim).mean())


def balanced_labels(agrees: Tensor, victim: Tensor) -> Rate | None:
    """The mean of the agreement on the rows with a label and on those without, over the labels.

    Labels that are on every row or on none take no part; None if no label is left. 1 / 2 is a clone
    that ignores its input.

    Args:
        agrees, victim: (n, L) bool.
    """
    cells = torch.stack([victim, ~victim], 2).double()  # (n, L, 2)
    counts = cells.sum(0)
    used = (counts > 0).all(1)
    if not used.any():
        return None
    cells, counts = cells[:, used], counts[used]
    hits = agrees[:, used, None] * cells
    rates = hits.sum(0) / counts
    parts = [
        _wilson(float(rate), float(count))
        for rate, count in zip(rates.flatten(), counts.flatten(), strict=True)
    ]
    found = balanced(parts)
    # the labels' rates are of the same rows: the rows' own influences show how they vary together
    influence = ((hits - cells * rates) / counts).sum((1, 2)) / rates.numel()
    half = math.sqrt(Z_SQUARED * float(influence.square().sum()))
    return Rate(
        value=found.value,
        low=max(0.0, min(found.low, found.value - half)),
        high=min(1.0, max(found.high, found.value + half)),
    )


def per_label(agrees: Tensor, victim: Tensor, names: dict[int, str]) -> list[ClassAgreement]:
    """Agreement on each label over all rows, and that of a clone that always decides the same.

    Args:
        agrees, victim: (n, L) bool.
        names: of the labels.
    """
    counts, hits = victim.sum(0).tolist(), agrees.double().mean(0).tolist()
    return [
        ClassAgreement(
            name=names.get(k, str(k)), rows=count, agreement=_wilson(share, len(agrees)),
            majority=majority,
        )
        for k, (count, share, majority) in enumerate(
            zip(counts, hits, _majorities(victim).tolist(), strict=True)
        )
    ]  # fmt: skip


def _majorities(victim: Tensor) -> Tensor:
    shares = victim.double().mean(0)
    return torch.maximum(shares, 1 - shares)


def _independent(shares: Tensor) -> float:
    """The number of independent decisions whose share varies as these rows' shares do."""
    rows, value = len(shares), float(shares.mean())
    spread = float(shares.var(correction=0)) / rows
    if spread <= 0 or not 0 < value < 1:
        return rows
    return min(value * (1 - value) / spread, 1e9)


def _wilson(value: float, rows: float) -> Rate:
    centre = (value + Z_SQUARED / (2 * rows)) / (1 + Z_SQUARED / rows)
    inner = value * (1 - value) / rows + Z_SQUARED / (4 * rows**2)
    half = math.sqrt(Z_SQUARED * inner) / (1 + Z_SQUARED / rows)
    low, high = min(value, centre - half), max(value, centre + half)
    return Rate(value=value, low=max(0.0, low), high=min(1.0, high))
