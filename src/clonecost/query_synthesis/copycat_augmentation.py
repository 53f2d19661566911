"""Copycat CNN's 22 augmentations, for all rows of a batch at once.

Every operator is a row of one table of ranges, and every row of a batch draws its own values: all
operators share one resampling, one small filter and one change of brightness. Written from the list
in docs/attacks/copycat.md, not from imgaug, which the authors used; a warp here displaces a coarse
grid of points smoothly, and sharpening is an unsharp mask.
"""

from dataclasses import astuple, dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from clonecost.types import as_bytes, as_pixels

CHUNK = 512
GRID = 4  # control points of a warp, along each side
TAPS = 5  # width of the filters, in pixels


@dataclass(frozen=True, kw_only=True)
class View:
    """Largest values, or both ends of a range, of an operator; image edges are repeated outside."""

    rotate: float = 0.0  # degrees, both directions
    shear: float = 0.0  # degrees, both directions
    shift: float = 0.0  # share of a side, both directions
    smallest: float = 1.0  # smallest factor of the size
    crop: float = 0.0  # share of a side cut off each of the four edges, then resized
    flip: float = 0.0  # probability
    warp: tuple[float, float] = (
        0.0,
        0.0,
    )  # standard deviation of the control points, share of a side
    blur: tuple[float, float] = (0.0, 0.0)  # sigma, pixels
    sharpen: float = 0.0  # weight of the unsharp mask
    noise: float = 0.0  # standard deviation, of [0, 1]
    add: tuple[float, float] = (0.0, 0.0)  # of [0, 1]
    contrast: tuple[float, float] = (1.0, 1.0)  # factor around middle grey


_MIX = View(rotate=20, shear=20, shift=0.2, smallest=0.9)
VIEWS: tuple[View, ...] = (
    *[_MIX] * 5,
    View(rotate=20, shear=20, shift=0.2, smallest=0.85),
    View(crop=0.1, shift=0.1, shear=15),
    View(crop=0.1, shift=0.1, shear=15, rotate=10),
    View(crop=0.1, shift=0.1, shear=15, flip=0.9),
    View(noise=0.08),
    View(sharpen=1),
    View(crop=0.15),
    View(noise=0.08, flip=1),
    View(sharpen=1, flip=1),
    View(crop=0.15, flip=1),
    View(blur=(1, 1.5)),
    View(add=(-20 / 255, 40 / 255)),
    View(contrast=(1, 1.5)),
    *[View(warp=(0.01, 0.05))] * 3,
    View(rotate=20, shear=20, shift=0.2, smallest=0.9, warp=(0.01, 0.05)),
)


def vary(images: Tensor, which: Tensor, rng: torch.Generator) -> Tensor:
    """Apply to each row the operator of its index.

    Args:
        images: (n, C, H, W) uint8, or float32 in [0, 1], on the device of `rng`.
        which: (n,) int64 indices in `VIEWS`.
        rng: draws the values of every row.

    Returns:
        (n, C, H, W) uint8.

    Example:
        >>> vary(torch.rand(22, 3, 8, 8), torch.arange(22), torch.Generator()).shape
        torch.Size([22, 3, 8, 8])
    """
    table = torch.tensor([_flat(view) for view in VIEWS], device=images.device)
    pairs = zip(images.split(CHUNK), which.split(CHUNK), strict=True)
    return torch.cat([as_bytes(_vary(as_pixels(x), table[k], rng)) for x, k in pairs])


def _flat(view: View) -> list[float]:
    return [v for value in astuple(view) for v in (value if isinstance(value, tuple) else (value,))]


def _vary(x: Tensor, values: Tensor, rng: torch.Generator) -> Tensor:
    n, c, h, w = x.shape
    (rotate, shear, shift, smallest, crop, flip, warp_low, warp_high, blur_low, blur_high, sharpen,
     noise, add_low, add_high, contrast_low, contrast_high) = values.unbind(1)  # fmt: skip

    def draw(low: Tensor | float, high: Tensor) -> Tensor:
        return low + (high - low) * torch.rand(n, generator=rng, device=rng.device)

    def normal(*shape: int) -> Tensor:
        return torch.randn(n, *shape, generator=rng, device=rng.device)

    # the source position of each pixel, in half sides from the centre
    angle, slant = (draw(-largest, largest).deg2rad() for largest in (rotate, shear))
    size = 1 / draw(smallest, torch.ones_like(smallest))
    left, right, top, bottom = (draw(0.0, crop) for _ in range(4))
    mirror = torch.where(draw(0.0, torch.ones_like(flip)) < flip, -1.0, 1.0)
    wide, high = size * (1 - left - right) * mirror, size * (1 - top - bottom)
    across = left - right + 2 * draw(-shift, shift)
    down = top - bottom + 2 * draw(-shift, shift)
    cos, sin = angle.cos(), angle.sin()
    rows = [cos * wide, (cos * slant.tan() - sin) * high, across, sin * wide,
            (sin * slant.tan() + cos) * high, down]  # fmt: skip
    theta = torch.stack(rows, 1).view(n, 2, 3)
    grid = F.affine_grid(theta, [n, c, h, w], align_corners=False)
    points = normal(2, GRID, GRID) * 2 * draw(warp_low, warp_high).view(n, 1, 1, 1)
    warp = F.interpolate(points, (h, w), mode="bicubic", align_corners=True).permute(0, 2, 3, 1)
    moved = (theta != torch.eye(2, 3, device=x.device)).flatten(1).any(1) | (warp_high > 0)
    resampled = F.grid_sample(x, grid + warp, padding_mode="border", align_corners=False)
    x = torch.where(moved.view(n, 1, 1, 1), resampled, x)  # exact for rows that do not move

    x = _filtered(x, draw(blur_low, blur_high), draw(0.0, sharpen))
    factor, offset = draw(contrast_low, contrast_high), draw(add_low, add_high)
    x = (x - 0.5) * factor.view(n, 1, 1, 1) + 0.5 + offset.view(n, 1, 1, 1)
    return (x + draw(0.0, noise).view(n, 1, 1, 1) * normal(c, h, w)).clamp(0, 1)


def _filtered(x: Tensor, sigma: Tensor, sharpen: Tensor) -> Tensor:
    """Blur every row by its sigma, or sharpen it by its weight; rows with 0 and 0 are unchanged."""
    rows = ((sigma > 0) | (sharpen > 0)).nonzero().flatten()
    if not len(rows):
        return x
    _, c, h, w = x.shape
    offset = torch.arange(TAPS, device=x.device) - TAPS // 2
    width = torch.where(sigma[rows] > 0, sigma[rows], 1.0).view(-1, 1)
    line = (-0.5 * (offset / width) ** 2).exp()
    line = line / line.sum(1, keepdim=True)
    blur = line.unsqueeze(2) * line.unsqueeze(1)
    identity = F.pad(torch.ones(1, 1, device=x.device), (TAPS // 2,) * 4)
    weight = sharpen[rows].view(-1, 1, 1)
    sharper = identity + weight * (identity - blur)
    kernel = torch.where(sigma[rows].view(-1, 1, 1) > 0, blur, sharper)
    kernels = kernel.repeat_interleave(c, 0).unsqueeze(1)
    padded = F.pad(x[rows], (TAPS // 2,) * 4, mode="replicate").flatten(0, 1).unsqueeze(0)
    filtered = F.conv2d(padded, kernels, groups=len(kernels)).view(-1, c, h, w)
    return x.index_copy(0, rows, filtered)
