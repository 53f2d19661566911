"""Overlapping shapes on a plain background: proxy data for an attacker without data.

The images follow the synthetic proxy of DFMS (Sanyal et al., CVPR 2022,
https://arxiv.org/abs/2204.11022): 50 shapes of 5 to 10 pixels on a canvas of 100x100, blurred over
4x4 pixels and reduced to 32x32 of them. Each split has its own fixed seed.
"""

import numpy as np
import torch
from torch import Tensor

from clonecost.data.catalogue import DATASETS, Split
from clonecost.types import LabelledInputs

_SEED: dict[Split, int] = {"train": 3, "test": 4}
_CANVAS, _SIDE, _SHAPES, _BLUR = 100, 32, 50, 4
_SIZES = (5, 10)  # pixels, both included
_CHUNK = 500  # images drawn at once: their canvases fit the cache of the CPU


def shapes(split: Split) -> LabelledInputs:
    """(n, 3, 32, 32) uint8; every label is 0."""
    count = getattr(DATASETS["shapes"], split)
    rng = np.random.default_rng(_SEED[split])
    parts = [_draw(min(_CHUNK, count - done), rng) for done in range(0, count, _CHUNK)]
    return LabelledInputs(torch.cat(parts), torch.zeros(count, dtype=torch.int64))


def _draw(count: int, rng: np.random.Generator) -> Tensor:
    """(count, 3, 32, 32) uint8. The loop is over layers: later shapes hide earlier ones."""

    def drawn(low: int, high: int, *shape: int) -> Tensor:
        """Whole numbers from low to high, both included."""
        return torch.from_numpy(rng.integers(low, high + 1, size=shape))

    pixels, window = _CANVAS * _CANVAS, torch.arange(_SIZES[1])
    down, right = window.view(1, -1, 1), window.view(1, 1, -1)
    # one extra pixel takes the part of a window that is outside its shape
    canvas = drawn(0, 255, count, 1, 3).to(torch.uint8).repeat(1, pixels + 1, 1)
    rows = torch.arange(count).view(-1, 1)
    for _ in range(_SHAPES):
        kind, height, width = drawn(0, 3, count, 1, 1), *drawn(*_SIZES, 2, count, 1, 1)
        width = torch.where(kind == 1, height, width)
        # from -1 to 1 within the shape's height and width
        y, x = (2 * down + 1) / height - 1, (2 * right + 1) / width - 1
        inside = torch.where(kind < 2, x**2 + y**2 <= 1, (x.abs() <= 1) & (y <= 1))  # 0, 1: ellipse
        inside &= (kind != 3) | (2 * x.abs() <= 1 + y)  # 2: rectangle, 3: triangle
        top, left = drawn(0, _CANVAS - _SIZES[1], 2, count, 1, 1)
        targets = torch.where(inside, (top + down) * _CANVAS + left + right, pixels)
        colours = drawn(0, 255, count, 1, 3).to(torch.uint8)
        canvas[rows, targets.flatten(1)] = colours.expand(-1, window.numel() ** 2, -1)
    return _shrink(canvas[:, :pixels].view(count, _CANVAS, _CANVAS, 3).permute(0, 3, 1, 2))


def _shrink(canvas: Tensor) -> Tensor:
    """The mean of 4x4 pixels around each of 32x32 evenly spread ones, rounded."""
    at = (torch.arange(_SIDE) * _CANVAS // _SIDE - _BLUR // 2).clamp(0, _CANVAS - _BLUR)
    windows = canvas.unfold(2, _BLUR, 1).unfold(3, _BLUR, 1)[:, :, at][:, :, :, at]
    return windows.float().mean((4, 5)).round().to(torch.uint8)
