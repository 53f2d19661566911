"""Images that are painted when they are asked for, each once."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from clonecost.types import Shape

LARGE_CHUNK = 32  # of those that are not kept
CHUNK = 500  # images painted at once: their canvases fit the cache of the CPU


@dataclass(frozen=True, kw_only=True)
class PaintedRows:
    """Images by their places, (n, C, H, W) uint8. The random numbers of all are drawn beforehand.

    Attributes:
        recipes: (n, ...), the numbers that determine each image.
        paint: (m, ...) recipes to (m, C, H, W) uint8, each image by its own recipe alone.
        image_shape: (C, H, W).
        sources: what `paint` uses beside the recipes, for a digest.
        painted: (n, C, H, W) uint8, the images so far; untouched memory takes no space. None: no
            image is kept, each is painted again.
        done: (n,) bool, which of them are painted.

    Example:
        >>> drawings("test")[torch.tensor([7, 3])].shape
        torch.Size([2, 3, 32, 32])
    """

    recipes: Tensor
    paint: Callable[[Tensor], Tensor]
    image_shape: Shape
    sources: tuple[Tensor, ...] = ()
    painted: Tensor | None
    done: Tensor

    def __len__(self) -> int:
        return len(self.recipes)

    def __getitem__(self, index: Tensor | slice, /) -> Tensor:
        rows = torch.arange(len(self))[index]
        if self.painted is None:
            return self._once(rows)
        for missing in rows[~self.done[rows]].unique().split(CHUNK):
            self.painted[missing] = self.paint(self.recipes[missing])
            self.done[missing] = True
        return self.painted[rows]

    @property
    def shape(self) -> Shape:
        """(n, C, H, W)."""
        return (len(self), *self.image_shape)

    def _once(self, rows: Tensor) -> Tensor:
        images = torch.empty(len(rows), *self.image_shape, dtype=torch.uint8)
        for part in torch.arange(len(rows)).split(LARGE_CHUNK):
            images[part] = self.paint(self.recipes[rows[part]])
        return images


def unpainted(
    recipes: Tensor, paint: Callable[[Tensor], Tensor], shape: Shape, *sources: Tensor,
    keep: bool = True,
) -> PaintedRows:  # fmt: skip
    """Images of the shape (C, H, W), none of which is painted yet.

    Args:
        keep: images are kept once they are painted, which takes their memory.
    """
    return PaintedRows(
        recipes=recipes, paint=paint, image_shape=shape, sources=sources,
        painted=torch.empty(len(recipes), *shape, dtype=torch.uint8) if keep else None,
        done=torch.zeros(len(recipes), dtype=torch.bool),
    )  # fmt: skip
