"""Mutation and crossover of images, without a victim or a network.

All functions map (n, C, H, W) pixels in [0, 1] to the same; every row has its own draw from `rng`,
which is on the images' device. `others` are further images of that shape, whose light areas give
the outlines.
"""

from math import log

import torch
from torch import Tensor
from torch.nn import functional as F


def views(images: Tensor, others: Tensor, rng: torch.Generator) -> Tensor:
    """Strong mutations: each of inversion, contrast, cut-out and affine map, with a probability."""
    x = replace_share(0.5, images, 1 - images, rng)
    x = replace_share(0.4, x, contrast(x, rng), rng)
    x = replace_share(0.2, x, x * outlines(others, rng), rng)
    return replace_share(
        0.6, x, turn(x, rng, zoom=(0.4, 1.5), angle=0.5, shift=0.3, squeeze=0.5), rng
    )


def children(first: Tensor, second: Tensor, others: Tensor, rng: torch.Generator) -> Tensor:
    """Crossover of two parents for half of the rows, then a small affine map and some flips."""
    n = len(first)
    share = _between(0.5, 1, n, rng)
    mixed = share * first + (1 - share) * second
    cut = outlines(others, rng)
    patched = cut * first + (1 - cut) * second
    how = _between(0, 1, n, rng)
    crossed = torch.where(how < 0.4, mixed, patched)
    crossed = torch.where(how < 0.7, crossed, torch.maximum(first, second))
    x = replace_share(0.5, first, crossed, rng)
    x = turn(x, rng, zoom=(0.75, 1.3), angle=0.3, shift=0.15, squeeze=0.3)
    gain, offset = _between(0.6, 1.5, n, rng), _between(-0.2, 0.1, n, rng)
    x = replace_share(0.5, x, (x * gain + offset * (x > 0)).clamp(0, 1), rng)  # black stays black
    return replace_share(0.3, x, x.flip(3), rng)


def replace_share(share: float, before: Tensor, after: Tensor, rng: torch.Generator) -> Tensor:
    """`after` for about this share of the rows, else `before`."""
    return torch.where(_between(0, 1, len(before), rng) < share, after, before)


def contrast(images: Tensor, rng: torch.Generator) -> Tensor:
    """Stretch from a random level around the image's mean, which becomes 0, to its maximum."""
    mean, spread = _mean_and_spread(images)
    low = (mean + spread * _between(-1.5, 0.85, len(images), rng)).clamp_min(0)
    high = images.amax((1, 2, 3), keepdim=True)
    top = _between(0.5, 1.2, len(images), rng)
    return ((images - low) / (high - low + 0.05) * top).clamp(0, 1)


def outlines(images: Tensor, rng: torch.Generator) -> Tensor:
    """(n, 1, H, W) masks of 0 and 1: a blurred image above a random level around its mean."""
    sides = images.shape[2:]
    small = max(2, sides[0] // 6), max(2, sides[1] // 6)
    coarse = F.adaptive_avg_pool2d(images.mean(1, keepdim=True), small)
    blurred = F.interpolate(coarse, sides, mode="bilinear")
    mean, spread = _mean_and_spread(blurred)
    return (blurred > mean + spread * _between(-0.85, 0.85, len(blurred), rng)).float()


def turn(
    images: Tensor, rng: torch.Generator, *, zoom: tuple[float, float], angle: float,
    shift: float, squeeze: float,
) -> Tensor:  # fmt: skip
    """Rotate, shift and resize; black enters from outside.

    Args:
        zoom: smallest and largest factor of the size.
        angle: largest angle, in radians.
        shift: largest shift, in half sides.
        squeeze: logarithm of the largest factor by which width grows and height shrinks.
    """
    n = len(images)
    size = _between(log(zoom[0]), log(zoom[1]), n, rng).exp().view(n)
    by = _between(-angle, angle, n, rng).view(n)
    wide = _between(-squeeze, squeeze, n, rng).exp().view(n)
    right, down = (_between(-shift, shift, n, rng).view(n) for _ in range(2))
    cos, sin = by.cos() / size, by.sin() / size
    rows = [cos * wide, -sin * wide, right, sin / wide, cos / wide, down]
    grid = F.affine_grid(
        torch.stack(rows, 1).view(n, 2, 3), list(images.shape), align_corners=False
    )
    return F.grid_sample(images, grid, padding_mode="zeros", align_corners=False).clamp(0, 1)


def unseen(keys: Tensor, before: Tensor) -> Tensor:
    """(n,) bool: the key is neither in `before` nor earlier in `keys`.

    Example:
        >>> unseen(torch.tensor([1, 2, 2, 3]), torch.tensor([3]))
        tensor([ True,  True, False, False])
    """
    ordered, order = keys.sort(stable=True)
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return torch.zeros_like(first).scatter_(0, order, first) & ~torch.isin(keys, before)


def keys_of(images: Tensor) -> Tensor:
    """(n,) int64 hashes of uint8 images; two different images collide with probability 2^-60."""
    rng = torch.Generator().manual_seed(0)
    factors = torch.randint(-(2**62), 2**62, (images.shape[1:].numel(),), generator=rng)
    factors = factors.to(images.device)
    return torch.cat([(x.flatten(1) * factors).sum(1) for x in images.split(1024)])


def _between(low: float, high: float, n: int, rng: torch.Generator) -> Tensor:
    """(n, 1, 1, 1), uniform between `low` and `high`."""
    return low + (high - low) * torch.rand(n, 1, 1, 1, generator=rng, device=rng.device)


def _mean_and_spread(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each image's values, (n, 1, 1, 1)."""
    spread, mean = torch.std_mean(images, (1, 2, 3), keepdim=True)
    return mean, spread
