"""Pictures out of pictures: views of one, and children of two. No victim and no network takes part.

All functions take and give (n, C, H, W) pixels in [0, 1]; every row has its own draw from `rng`,
which is on the pictures' device. `others` are further pictures of that shape, for the outlines that
their dark and light places have.
"""

from math import log

import torch
from torch import Tensor
from torch.nn import functional as F


def views(pictures: Tensor, others: Tensor, rng: torch.Generator) -> Tensor:
    """Far away from the pictures: any of inverted, contrasted, cut out, turned and resized."""
    x = some(0.5, pictures, 1 - pictures, rng)
    x = some(0.4, x, contrast(x, rng), rng)
    x = some(0.2, x, x * outlines(others, rng), rng)
    return some(0.6, x, turn(x, rng, zoom=(0.4, 1.5), angle=0.5, shift=0.3, squeeze=0.5), rng)


def children(mothers: Tensor, fathers: Tensor, others: Tensor, rng: torch.Generator) -> Tensor:
    """Near to their parents: half of them crossed, all of them turned a little, some mirrored."""
    n = len(mothers)
    share = _between(0.5, 1, n, rng)
    mixed = share * mothers + (1 - share) * fathers
    cut = outlines(others, rng)
    patched = cut * mothers + (1 - cut) * fathers
    how = _between(0, 1, n, rng)
    crossed = torch.where(how < 0.4, mixed, patched)
    crossed = torch.where(how < 0.7, crossed, torch.maximum(mothers, fathers))
    x = some(0.5, mothers, crossed, rng)
    x = turn(x, rng, zoom=(0.75, 1.3), angle=0.3, shift=0.15, squeeze=0.3)
    gain, offset = _between(0.6, 1.5, n, rng), _between(-0.2, 0.1, n, rng)
    x = some(0.5, x, (x * gain + offset * (x > 0)).clamp(0, 1), rng)  # black stays black
    return some(0.3, x, x.flip(3), rng)


def some(share: float, before: Tensor, after: Tensor, rng: torch.Generator) -> Tensor:
    """`after` for about this share of the rows, else `before`."""
    return torch.where(_between(0, 1, len(before), rng) < share, after, before)


def contrast(pictures: Tensor, rng: torch.Generator) -> Tensor:
    """Stretched: black below a random level around the picture's mean, white above its lightest."""
    mean, spread = _mean_and_spread(pictures)
    low = (mean + spread * _between(-1.5, 0.85, len(pictures), rng)).clamp_min(0)
    high = pictures.amax((1, 2, 3), keepdim=True)
    top = _between(0.5, 1.2, len(pictures), rng)
    return ((pictures - low) / (high - low + 0.05) * top).clamp(0, 1)


def outlines(pictures: Tensor, rng: torch.Generator) -> Tensor:
    """(n, 1, H, W) of 0 and 1: where a blurred picture is lighter than a level around its mean."""
    sides = pictures.shape[2:]
    small = max(2, sides[0] // 6), max(2, sides[1] // 6)
    coarse = F.adaptive_avg_pool2d(pictures.mean(1, keepdim=True), small)
    blurred = F.interpolate(coarse, sides, mode="bilinear")
    mean, spread = _mean_and_spread(blurred)
    return (blurred > mean + spread * _between(-0.85, 0.85, len(blurred), rng)).float()


def turn(
    pictures: Tensor, rng: torch.Generator, *, zoom: tuple[float, float], angle: float,
    shift: float, squeeze: float,
) -> Tensor:  # fmt: skip
    """Turned, moved and resized, black where nothing was.

    Args:
        zoom: least and greatest factor of the size.
        angle: greatest, in radians.
        shift: greatest, in half sides.
        squeeze: logarithm of the greatest factor by which width grows and height shrinks.
    """
    n = len(pictures)
    size = _between(log(zoom[0]), log(zoom[1]), n, rng).exp().view(n)
    by = _between(-angle, angle, n, rng).view(n)
    wide = _between(-squeeze, squeeze, n, rng).exp().view(n)
    right, down = (_between(-shift, shift, n, rng).view(n) for _ in range(2))
    cos, sin = by.cos() / size, by.sin() / size
    rows = [cos * wide, -sin * wide, right, sin / wide, cos / wide, down]
    grid = F.affine_grid(
        torch.stack(rows, 1).view(n, 2, 3), list(pictures.shape), align_corners=False
    )
    return F.grid_sample(pictures, grid, padding_mode="zeros", align_corners=False).clamp(0, 1)


def unseen(keys: Tensor, before: Tensor) -> Tensor:
    """(n,) bool: is this key neither among those before nor earlier among its own?"""
    ordered, order = keys.sort(stable=True)
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return torch.zeros_like(first).scatter_(0, order, first) & ~torch.isin(keys, before)


def keys_of(pictures: Tensor) -> Tensor:
    """(n,) int64 of uint8 pictures: the same for the same, another but with odds of some 2^-60."""
    rng = torch.Generator().manual_seed(0)
    factors = torch.randint(-(2**62), 2**62, (pictures.shape[1:].numel(),), generator=rng)
    factors = factors.to(pictures.device)
    return torch.cat([(x.flatten(1) * factors).sum(1) for x in pictures.split(1024)])


def _between(low: float, high: float, n: int, rng: torch.Generator) -> Tensor:
    """(n, 1, 1, 1), uniform."""
    return low + (high - low) * torch.rand(n, 1, 1, 1, generator=rng, device=rng.device)


def _mean_and_spread(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each picture's values, (n, 1, 1, 1)."""
    spread, mean = torch.std_mean(pictures, (1, 2, 3), keepdim=True)
    return mean, spread
