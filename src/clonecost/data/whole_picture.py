"""A picture of an attacker's data as it is stored, before it is fitted to the victim's shape."""

from torch import Tensor

from clonecost.data.on_demand import FittedRows, OnDemand
from clonecost.data.painted_rows import PaintedRows
from clonecost.data.picture_pool import PoolRows
from clonecost.types import ProxyData


def pictures_in(pool: ProxyData) -> int:
    """How many pictures `whole_picture` can give."""
    sources = _sources(pool)
    return len(pool.inputs if sources is None else sources)


def whole_picture(pool: ProxyData, place: int) -> Tensor:
    """(C, h, w): one picture in all its pixels.

    Rows that are crops of photographs have the photographs as their pictures; every other row is a
    picture of its own.

    Args:
        place: from 0 to `pictures_in(pool)` - 1.

    Raises:
        DataError: the picture cannot be decoded.

    Example:
        >>> whole_picture(load_proxy("photos", shape=(1, 28, 28)), 0).shape
        torch.Size([3, 427, 640])
    """
    rows = pool.inputs
    if (sources := _sources(pool)) is not None:
        return sources[place]
    if isinstance(rows, PoolRows):
        return rows.whole(place)
    stored = rows.stored if isinstance(rows, FittedRows) else rows
    return stored[place : place + 1][0]


def _sources(pool: ProxyData) -> Tensor | None:
    """(k, C, h, w): the photographs of which the rows are crops."""
    rows = pool.inputs if isinstance(pool, OnDemand) else None
    if isinstance(rows, FittedRows) and isinstance(rows.stored, PaintedRows):
        return rows.stored.sources[0] if rows.stored.sources else None
    return None
