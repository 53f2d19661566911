"""Proxy data whose rows are painted, fitted or decoded when they are asked for."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from clonecost.data.catalogue import DATASETS, Split
from clonecost.data.embedded import photos
from clonecost.data.fitting import fit, fit_rows, must_fit
from clonecost.data.painted_rows import PaintedRows
from clonecost.data.picture_pool import PoolRows, opened
from clonecost.data.pictures import Background
from clonecost.data.synthetic_shapes import drawings
from clonecost.persistence.file_limits import must_fit_memory
from clonecost.types import Feature, LabelledInputs, ProxyData, Shape, as_pixels


@dataclass(frozen=True)
class FittedRows:
    """Stored images by their places, fitted to another shape: (n, *row_shape) uint8.

    Every row has the same bytes as in the whole data set that `fit` makes.

    Example:
        >>> FittedRows(torch.zeros(9, 3, 32, 32, dtype=torch.uint8), (3, 64, 64))[:2].shape
        torch.Size([2, 3, 64, 64])
    """

    stored: Tensor | PaintedRows
    row_shape: Shape

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, index: Tensor | slice, /) -> Tensor:
        return fit_rows(self.stored[index], self.row_shape)

    @property
    def shape(self) -> Shape:
        """(n, *row_shape)."""
        return (len(self), *self.row_shape)

    def parts(self) -> Iterator[bytes | memoryview]:
        """What determines every row: stored pixels, or the random numbers of a painting."""
        stored = self.stored
        parts = (stored.recipes, *stored.sources) if isinstance(stored, PaintedRows) else (stored,)
        for part in parts:
            yield part.contiguous().numpy().data


@dataclass(frozen=True)
class OnDemand:
    """`ProxyData` that makes the rows that are asked for, and keeps no others in memory.

    Example:
        >>> pool = on_demand(load("photos", "train"), (3, 224, 224))
        >>> pool.rows(torch.tensor([7, 3])).shape
        torch.Size([2, 3, 224, 224])
    """

    inputs: FittedRows | PoolRows
    labels: Tensor
    classes: tuple[str, ...] = ()
    name: str = ""

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def shape(self) -> Shape:
        return self.inputs.row_shape

    @property
    def features(self) -> tuple[Feature, ...] | None:
        return None

    @cached_property
    def fingerprint(self) -> str:
        """A digest of what determines every row, and the shape; no row is made for it."""
        digest = hashlib.blake2b(digest_size=16)
        for part in self.inputs.parts():
            digest.update(part)
        digest.update(self.labels.contiguous().numpy().data)
        digest.update(json.dumps([self.classes, self.shape]).encode())
        return digest.hexdigest()

    def rows(self, index: Tensor | slice, device: torch.device | str = "cpu") -> Tensor:
        """The rows at `index` as float32 on `device`, shape (len(index), *shape)."""
        return as_pixels(self.inputs[index].to(device))

    def take(self, index: Tensor | slice) -> LabelledInputs:
        """The rows at `index` as a data set in memory."""
        return LabelledInputs(self.inputs[index], self.labels[index], self.classes, self.name)

    def to(self, device: torch.device | str) -> LabelledInputs:
        """All rows as a data set in the memory of `device`.

        Raises:
            DataError: they would not fit into it.
        """
        must_fit_memory(f"{self.name} with {len(self):,} rows", len(self) * prod(self.shape))
        return self.take(slice(None)).to(device)


def on_demand(data: LabelledInputs, shape: Shape) -> ProxyData:
    """The data set in the victim's shape (C, H, W): the same rows as of `fit`, bit for bit.

    Rows that would take more memory fitted than stored are fitted when they are asked for.

    Raises:
        DataError: as `fit`.
    """
    must_fit(data.shape, shape, data.name)
    if prod(shape) <= prod(data.shape) * data.inputs.element_size():
        return fit(data, shape)
    return OnDemand(FittedRows(data.inputs, shape), data.labels, data.classes, data.name)


def painted(name: str, split: Split, shape: Shape | None) -> OnDemand:
    """A data set of `PAINTED` in the victim's shape; None: as published.

    Raises:
        DataError: as `fit`.
    """
    card = DATASETS[name]
    shape = shape or card.shape
    must_fit(card.shape, shape, name)
    rows, labels = PAINTED[name](split, shape)
    return OnDemand(FittedRows(rows, shape), labels, card.classes, name)


def pooled(
    path: Path, name: str, shape: Shape, background: Background | None, subset: str = ""
) -> OnDemand:
    """The pictures of a folder, TAR or Parquet file as proxy data, which stay on disk.

    Raises:
        DataError, SpecError: as `picture_pool.opened`.
    """
    must_fit((3, 1, 1), shape, name)
    return OnDemand(*opened(path, shape, background, subset), name)


def all_painted(name: str, split: Split) -> LabelledInputs:
    """All rows of a data set of `PAINTED`, in memory and as published."""
    return painted(name, split, None).to("cpu")


def _drawings(split: Split, shape: Shape) -> tuple[PaintedRows, Tensor]:
    rows = drawings(split)
    return rows, torch.zeros(len(rows), dtype=torch.int64)


# data sets whose images are painted when they are asked for, and their labels
PAINTED: dict[str, Callable[[Split, Shape], tuple[PaintedRows, Tensor]]] = {
    "photos": photos,
    "shapes": _drawings,
}
