"""Some rows of a pool: a tensor while that is small, else read from the pool batch by batch."""

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from clonecost.types import Rows, Shape

IN_MEMORY = 1 << 29  # bytes of rows that are held as a tensor


@dataclass(frozen=True)
class PartRows:
    """The rows of a pool at some places, read when they are asked for.

    Example:
        >>> PartRows(torch.arange(30).view(10, 3), torch.tensor([7, 1]))[:1]
        tensor([[21, 22, 23]])
    """

    rows: Rows
    places: Tensor  # (m,) int64, on the CPU

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: Tensor | slice, /) -> Tensor:
        return self.rows[self.places[index]]

    @property
    def shape(self) -> Shape:
        """(m, *shape)."""
        return (len(self), *self.rows.shape[1:])

    @property
    def dtype(self) -> torch.dtype:
        """The type of the rows: uint8 where the pool does not tell."""
        return getattr(self.rows, "dtype", torch.uint8)


def part(rows: Rows, places: Tensor, device: torch.device | str = "cpu") -> Rows:
    """The rows at `places`, (m,) on the CPU: on `device` if they take at most `IN_MEMORY` bytes.

    More of them are read from `rows` each time they are asked for, so that memory does not grow
    with the query budget.

    Example:
        >>> part(torch.zeros(10, 3), torch.tensor([7, 1])).shape
        torch.Size([2, 3])
    """
    return held(PartRows(rows, places), device)


def held(rows: Rows, device: torch.device | str = "cpu") -> Rows:
    """All rows, as `part` holds some.

    Example:
        >>> held(torch.zeros(10, 3)).shape
        torch.Size([10, 3])
    """
    dtype: torch.dtype = getattr(rows, "dtype", torch.uint8)
    return rows[:].to(device) if prod(rows.shape) * dtype.itemsize <= IN_MEMORY else rows
