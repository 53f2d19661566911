"""Images that are painted when they are asked for, each once."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from clonecost.types import Shape

CHUNK = 500  # images painted at once: their canvases fit the cache of the CPU


@dataclass(frozen=True, kw_only=True)
class PaintedRows:
    """Images by their places, (n, C, H, W) uint8. The random numbers of all are drawn beforehand.

    Attributes:
        recipes: (n, ...), the numbers that determine each image.
        paint: (m, ...) recipes to (m, C, H, W) uint8, each image by its own recipe alone.
        sources: what `paint` uses beside the recipes, for a digest.
        painted: (n, C, H, W) uint8, the images so far; untouched memory takes no space.
        done: (n,) bool, which of them are painted.

    Example:
        >>> drawings("test")[torch.tensor([7, 3])].shape
        torch.Size([2, 3, 32, 32])
    """

    recipes: Tensor
    paint: Callable[[Tensor], Tensor]
    sources: tuple[Tensor, ...] = ()
    painted: Tensor
    done: Tensor

    def __len__(self) -> int:
        return len(self.recipes)

    def __getitem__(self, index: Tensor | slice, /) -> Tensor:
        rows = torch.arange(len(self))[index]
        for missing in rows[~self.done[rows]].unique().split(CHUNK):
            self.painted[missing] = self.paint(self.recipes[missing])
            self.done[missing] = True
        return self.painted[rows]

    @property
    def shape(self) -> Shape:
        """(n, C, H, W)."""
        return tuple(self.painted.shape)


def unpainted(
    recipes: Tensor, paint: Callable[[Tensor], Tensor], shape: Shape, *sources: Tensor
) -> PaintedRows:
    """Images of the shape (C, H, W), none of which is painted yet."""
    return PaintedRows(
        recipes=recipes, paint=paint, sources=sources,
        painted=torch.empty(len(recipes), *shape, dtype=torch.uint8),
        done=torch.zeros(len(recipes), dtype=torch.bool),
    )  # fmt: skip
