"""A table's rows: drawn, checked, and as the numbers that a model computes with.

A row is (d,) float32 as the API takes it: a number in its feature's range, or the place of a
category. Tramèr et al. (USENIX Security 2016, §2.1 and §4.1) let the attacker work *after* feature
extraction, where numbers are scaled to [-1, 1] and categories are one-hot; `Extraction` is that
map, in float64, so that equations in it can be solved to more digits than a float32 has.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from clonecost.errors import Advice, QueryError
from clonecost.types import Feature

BLOCK = 256  # rows that are drawn at a time


def bounds(features: Sequence[Feature]) -> tuple[Tensor, Tensor]:
    """The least and the largest value of each feature, two (d,) float32."""
    return (
        torch.tensor([feature.low for feature in features]),
        torch.tensor([feature.high for feature in features]),
    )


def is_category(features: Sequence[Feature]) -> Tensor:
    """(d,) bool: which features are categories."""
    return torch.tensor([bool(feature.categories) for feature in features])


def uniform_rows(features: Sequence[Feature], count: int, rng: torch.Generator) -> Tensor:
    """(count, d) float32 on the device of `rng`: every range evenly, every category as often.

    Drawn a whole block at a time: the same seed gives the same first rows for every `count`.
    """
    blocks = [_uniform(features, rng) for _ in range(-(-count // BLOCK))]
    return torch.cat(blocks)[:count]


def _uniform(features: Sequence[Feature], rng: torch.Generator) -> Tensor:
    low, high = (bound.to(rng.device) for bound in bounds(features))
    categories = is_category(features).to(rng.device)
    drawn = torch.rand(BLOCK, len(features), generator=rng, device=rng.device)
    places = torch.floor(drawn * (high + 1)).clamp_max(high)  # rand never is 1, its product may be
    # the sum of two floats can land above the larger one
    numbers = torch.minimum(torch.maximum(low + drawn * (high - low), low), high)
    return torch.where(categories, places, numbers)


def check_rows(features: Sequence[Feature], rows: Tensor, *, incomplete: bool = False) -> None:
    """Refuse rows, (n, d), that the API would not take.

    Args:
        incomplete: it takes rows with missing values, which are NaN.

    Raises:
        QueryError: a value is out of its feature's range, no category, or NaN without `incomplete`.
    """
    if wrong := first_wrong(features, rows, incomplete=incomplete):
        raise QueryError(f"{wrong}; nothing was sent", Advice("correct that value"))


def first_wrong(
    features: Sequence[Feature], rows: Tensor, *, incomplete: bool = False
) -> str | None:
    """The first value that its feature does not take, in words; None: there is none."""
    low, high = (bound.to(rows.device) for bound in bounds(features))
    broken = is_category(features).to(rows.device) & (rows != rows.round())
    wrong = ~((rows >= low) & (rows <= high)) | broken  # a NaN is within no range
    if incomplete:
        wrong &= ~rows.isnan()
    if not wrong.any():
        return None
    row, column = (int(place[0]) for place in wrong.nonzero(as_tuple=True))
    feature, value = features[column], float(rows[row, column])
    want = (
        f"one of its {len(feature.categories)} categories, 0 to {feature.high:g}"
        if feature.categories
        else f"a number from {feature.low:g} to {feature.high:g}"
    )
    return f"the feature {feature.name!r} takes {want}; got {value:g} in row {row}"


class Extraction(nn.Module):
    """(n, d) rows as sent -> (n, width) float64: numbers in [-1, 1], categories one-hot.

    Its constants are buffers: they are saved with the clone that they belong to.
    """

    source: Tensor  # (width,) the feature that a column comes from
    place: Tensor  # (width,) the category that it stands for
    category: Tensor  # (width,) bool: whether it stands for one
    middle: Tensor
    reach: Tensor  # half of the range

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
