"""Overlapping shapes on a plain background: proxy data for an attacker without data.

The images follow the synthetic proxy of DFMS (Sanyal et al., CVPR 2022,
https://arxiv.org/abs/2204.11022): 50 shapes of 5 to 10 pixels on a canvas of 100x100, blurred over
4x4 pixels and reduced to 32x32 of them. Each split has its own fixed seed. The random numbers of a
split are drawn at once, which takes a fraction of a second; an image is painted when it is asked
for, and kept.
"""

import numpy as np
import torch
from torch import Tensor

from clonecost.data.catalogue import DATASETS, Split
from clonecost.data.painted_rows import PaintedRows, unpainted

_SEED: dict[Split, int] = {"train": 3, "test": 4}
_CANVAS, _SIDE, _SHAPES, _BLUR = 100, 32, 50, 4
_SIZES = (5, 10)  # pixels, both included
_CHUNK = 500  # images whose random numbers are drawn together


def drawings(split: Split) -> PaintedRows:
    """The images of a split, (n, 3, 32, 32) uint8; none is painted yet."""
    count = getattr(DATASETS["shapes"], split)
    rng = np.random.default_rng(_SEED[split])
    parts = [_draw(min(_CHUNK, count - done), rng) for done in range(0, count, _CHUNK)]
    return unpainted(torch.cat(parts), _paint, (3, _SIDE, _SIDE))


def _draw(count: int, rng: np.random.Generator) -> Tensor:
    """The random numbers of `count` images: (count, 51, 8) uint8.

    Kind, height, width, top, left and colour of each shape, the lowest first; before them the
    background, which has a colour only.
    """

    def drawn(low: int, high: int, *shape: int) -> Tensor:
        """Whole numbers from low to high, both included."""
        return torch.from_numpy(rng.integers(low, high + 1, size=shape)).to(torch.uint8)

    layers = torch.zeros(count, 1 + _SHAPES, 8, dtype=torch.uint8)
    layers[:, 0, 5:] = drawn(0, 255, count, 3)
    for layer in layers[:, 1:].unbind(1):
        layer[:, 0] = drawn(0, 3, count)
        layer[:, 1:3] = drawn(*_SIZES, 2, count).T
        layer[:, 3:5] = drawn(0, _CANVAS - _SIZES[1], 2, count).T
        layer[:, 5:] = drawn(0, 255, count, 3)
    return layers


def _paint(layers: Tensor) -> Tensor:
    """(count, 3, 32, 32) uint8. The loop is over layers: later shapes hide earlier ones."""
    count, pixels, window = len(layers), _CANVAS * _CANVAS, torch.arange(_SIZES[1])
    down, right = window.view(1, -1, 1), window.view(1, 1, -1)
    # one extra pixel takes the part of a window that is outside its shape
    canvas = layers[:, :1, 5:].repeat(1, pixels + 1, 1)
    rows = torch.arange(count).view(-1, 1)
    for layer in layers[:, 1:].unbind(1):
        kind, height, width, top, left = layer[:, :5].long().T.reshape(5, count, 1, 1)
        width = torch.where(kind == 1, height, width)
        # from -1 to 1 within the shape's height and width
        y, x = (2 * down + 1) / height - 1, (2 * right + 1) / width - 1
        inside = torch.where(kind < 2, x**2 + y**2 <= 1, (x.abs() <= 1) & (y <= 1))  # 0, 1: ellipse
        inside &= (kind != 3) | (2 * x.abs() <= 1 + y)  # 2: rectangle, 3: triangle
        targets = torch.where(inside, (top + down) * _CANVAS + left + right, pixels)
        colours = layer[:, 5:].unsqueeze(1)
        canvas[rows, targets.flatten(1)] = colours.expand(-1, window.numel() ** 2, -1)
    return _shrink(canvas[:, :pixels].view(count, _CANVAS, _CANVAS, 3).permute(0, 3, 1, 2))


def _shrink(canvas: Tensor) -> Tensor:
    """The mean of 4x4 pixels around each of 32x32 evenly spread ones, rounded."""
    at = (torch.arange(_SIDE) * _CANVAS // _SIDE - _BLUR // 2).clamp(0, _CANVAS - _BLUR)
    windows = canvas.unfold(2, _BLUR, 1).unfold(3, _BLUR, 1)[:, :, at][:, :, :, at]
    return windows.float().mean((4, 5)).round().to(torch.uint8)
