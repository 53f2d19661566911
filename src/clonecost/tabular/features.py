"""Rows of a table: drawing, validation, and feature extraction.

A row is (d,) float32 as the API takes it: a number in its feature's range, or the index of a
category. Tramèr et al. (USENIX Security 2016, §2.1 and §4.1) let the attacker work *after* feature
extraction, where numbers are scaled to [-1, 1] and categories are one-hot; `Extraction` is that
map, in float64, so that equations can be solved to more digits than float32 has.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from clonecost.errors import Advice, QueryError
from clonecost.types import Feature

BLOCK = 256  # rows drawn at a time


def bounds(features: Sequence[Feature]) -> tuple[Tensor, Tensor]:
    """The smallest and the largest value of each feature, two (d,) float32.

    Example:
        >>> bounds((Feature(name="age", low=18.0, high=99.0),))
        (tensor([18.]), tensor([99.]))
    """
    return (
        torch.tensor([feature.low for feature in features]),
        torch.tensor([feature.high for feature in features]),
    )


def is_category(features: Sequence[Feature]) -> Tensor:
    """(d,) bool: True for a feature with categories."""
    return torch.tensor([bool(feature.categories) for feature in features])


def uniform_rows(features: Sequence[Feature], count: int, rng: torch.Generator) -> Tensor:
    """(count, d) float32 rows, uniform over every range and over the categories of every feature.

    Rows are drawn in whole blocks: the same seed gives the same first rows for every `count`.

    Args:
        features: the d features of the table.
        count: number of rows.
        rng: on the device of the rows.
    """
    blocks = [_uniform(features, rng) for _ in range(-(-count // BLOCK))]
    return torch.cat(blocks)[:count] if blocks else torch.empty(0, len(features), device=rng.device)


def _uniform(features: Sequence[Feature], rng: torch.Generator) -> Tensor:
    low, high = (bound.to(rng.device) for bound in bounds(features))
    categories = is_category(features).to(rng.device)
    drawn = torch.rand(BLOCK, len(features), generator=rng, device=rng.device)
    # rand is below 1, but its product may round up
    indices = torch.floor(drawn * (high + 1)).clamp_max(high)
    # the sum can round to a value above `high`
    numbers = torch.minimum(torch.maximum(low + drawn * (high - low), low), high)
    return torch.where(categories, indices, numbers)


def corner_rows(features: Sequence[Feature], count: int, rng: torch.Generator) -> Tensor:
    """(count, d) float32 rows towards corners of the ranges, for a class that uniform rows miss.

    Each row has its own share of numbers near the high end, and its own distance from the ends,
    each uniform over [0, 1], so that rows lie between all low, any mixture, and all high. A linear
    score whose weights have one sign spreads over d instead of over sqrt(d). Categories are
    uniform.

    Args:
        features: the d features of the table.
        count: number of rows.
        rng: on the device of the rows.
    """
    rows = uniform_rows(features, count, rng)
    low, high = (bound.to(rng.device) for bound in bounds(features))
    share, depth = torch.rand(2, count, 1, generator=rng, device=rng.device)
    side = torch.rand(rows.shape, generator=rng, device=rng.device) < share
    inward = (rows - low) * depth  # distance from the end of its side
    numbers = torch.where(side, high - inward, low + inward).clamp(min=low, max=high)
    return torch.where(is_category(features).to(rng.device), rows, numbers)


def check_rows(features: Sequence[Feature], rows: Tensor, *, incomplete: bool = False) -> None:
    """Refuse rows that the API would not accept.

    Args:
        features: the d features of the table.
        rows: (n, d).
        incomplete: the API accepts missing values, which are NaN.

    Raises:
        QueryError: a value is out of its feature's range, no category, or NaN without `incomplete`.
    """
    if wrong := first_wrong(features, rows, incomplete=incomplete):
        raise QueryError(f"{wrong}; nothing was sent", Advice("correct that value"))


def first_wrong(
    features: Sequence[Feature], rows: Tensor, *, incomplete: bool = False
) -> str | None:
    """The first value that its feature does not accept, in one sentence; None if all are valid."""
    low, high = (bound.to(rows.device) for bound in bounds(features))
    broken = is_category(features).to(rows.device) & (rows != rows.round())
    wrong = ~((rows >= low) & (rows <= high)) | broken  # NaN fails both comparisons
    if incomplete:
        wrong &= ~rows.isnan()
    if not wrong.any():
        return None
    row, column = (int(index[0]) for index in wrong.nonzero(as_tuple=True))
    feature, value = features[column], float(rows[row, column])
    want = (
        f"one of its {len(feature.categories)} categories, 0 to {feature.high:g}"
        if feature.categories
        else f"a number from {feature.low:g} to {feature.high:g}"
    )
    return f"the feature {feature.name!r} takes {want}; got {value:g} in row {row}"


class Extraction(nn.Module):
    """(n, d) rows as sent -> (n, width) float64: numbers in [-1, 1], categories one-hot.

    Its constants are buffers, so that they are saved with the clone.

    Example:
        >>> Extraction((Feature(name="age", low=18, high=98),))(torch.tensor([[58.0], [98.0]]))
        tensor([[0.],
                [1.]], dtype=torch.float64)
    """

    source: Tensor  # (width,) index of a column's feature
    place: Tensor  # (width,) index of a column's category
    category: Tensor  # (width,) bool: the column is a category
    middle: Tensor  # (width,) of the range
    reach: Tensor  # (width,) half of the range

    def __init__(self, features: Sequence[Feature]) -> None:
        super().__init__()
        low, high = (bound.double() for bound in bounds(features))
        sizes = [len(feature.categories) or 1 for feature in features]
        self.width = sum(sizes)
        source = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
        self.register_buffer("source", source)
        self.register_buffer("place", torch.cat([torch.arange(size) for size in sizes]).double())
        self.register_buffer("category", is_category(features)[source])
        self.register_buffer("middle", ((high + low) / 2)[source])
        self.register_buffer("reach", ((high - low) / 2)[source])

    def forward(self, rows: Tensor) -> Tensor:
        values = rows.double()[:, self.source]
        numbers = (values - self.middle) / self.reach
        return torch.where(self.category, (values == self.place).double(), numbers)
