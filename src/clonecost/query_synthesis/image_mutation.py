"""Mutation and crossover of images, without a victim or a network.

All functions map (n, C, H, W) pixels in [0, 1] to the same; every row has its own draw from `rng`,
which is on the images' device. `others` are further images of that shape, whose light areas give
the outlines.
"""

from math import log

import torch
from torch import Tensor
from torch.nn import functional as F

BLACK = 0.02  # brighter pixels are not black


def views(
    images: Tensor, others: Tensor, rng: torch.Generator, mirrored: Tensor | None = None
) -> Tensor:
    """Strong mutations: each of inversion, contrast, cut-out and affine map, with a probability.

    Args:
        mirrored: (n,) bool, the rows whose edges are mirrored where the affine map looks beyond;
            black enters in the others. None: black in all.
    """
    x = replace_share(0.5, images, 1 - images, rng)
    x = replace_share(0.4, x, contrast(x, rng), rng)
    cut = x * outlines(others, rng)
    if mirrored is not None:  # these are not put before black either
        cut = torch.where(mirrored.view(-1, 1, 1, 1), x, cut)
    x = replace_share(0.2, x, cut, rng)
    turned = turn(x, rng, zoom=(0.4, 1.5), angle=0.5, shift=0.3, squeeze=0.5, mirrored=mirrored)
    return replace_share(0.6, x, turned, rng)


def children(
    first: Tensor, second: Tensor, others: Tensor, rng: torch.Generator, *,
    boxed: float = 0.0, mirror: bool = False,
) -> Tensor:  # fmt: skip
    """Crossover of two parents for half of the rows, then a small affine map and some flips.

    Args:
        mirror: edges that are not black are mirrored where the affine map looks beyond; else black
            enters.
        boxed: share of the patched rows whose patch is a rectangle and no outline of `others`.
    """
    n = len(first)
    share = _between(0.5, 1, n, rng)
    mixed = share * first + (1 - share) * second
    cut = outlines(others, rng)
    if boxed:
        cut = replace_share(boxed, cut, boxes(cut, rng), rng)
    patched = cut * first + (1 - cut) * second
    how = _between(0, 1, n, rng)
    crossed = torch.where(how < 0.4, mixed, patched)
    crossed = torch.where(how < 0.7, crossed, torch.maximum(first, second))
    x = replace_share(0.5, first, crossed, rng)
    x = turn(
        x, rng, zoom=(0.75, 1.3), angle=0.3, shift=0.15, squeeze=0.3,
        mirrored=~black_edges(x) if mirror else None,
    )  # fmt: skip
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


def boxes(like: Tensor, rng: torch.Generator) -> Tensor:
    """(n, 1, H, W) masks of 0 and 1 for (n, C, H, W): rectangles of any area (CutMix's)."""
    n, _, *sides = like.shape
    half = _between(0, 1, n, rng).sqrt() / 2
    inside = []
    for axis, side in enumerate(sides):
        places = (torch.arange(side, device=like.device) + 0.5) / side
        distance = (places - _between(0, 1, n, rng)[:, 0, 0]).abs() < half[:, 0, 0]
        inside.append(distance.view(n, 1, -1, 1) if axis == 0 else distance.view(n, 1, 1, -1))
    return (inside[0] & inside[1]).float()


def black_edges(images: Tensor) -> Tensor:
    """(n,) bool: most of the picture's outermost pixels are black."""
    rows = images.amax(1)
    edges = torch.cat([rows[:, 0], rows[:, -1], rows[:, :, 0], rows[:, :, -1]], 1)
    return (edges < BLACK).float().mean(1) > 0.5


def turn(
    images: Tensor, rng: torch.Generator, *, zoom: tuple[float, float], angle: float,
    shift: float, squeeze: float, mirrored: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Rotate, shift and resize; black enters from outside, or the edges are mirrored.

    Args:
        zoom: smallest and largest factor of the size.
        angle: largest angle, in radians.
        shift: largest shift, in half sides.
        squeeze: logarithm of the largest factor by which width grows and height shrinks.
        mirrored: (n,) bool, the rows whose edges are mirrored; None: black enters everywhere.
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
    beyond = "zeros" if mirrored is None or not mirrored.any() else "reflection"
    turned = F.grid_sample(images, grid, padding_mode=beyond, align_corners=False)
    if mirrored is not None and beyond == "reflection":
        dark = (~mirrored).nonzero().flatten()
        turned[dark] = F.grid_sample(images[dark], grid[dark], align_corners=False)
    return turned.clamp(0, 1)


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
