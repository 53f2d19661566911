"""Procedural images: soft shapes over a background, some striped, some rough.

No data, victim or network is needed. The only assumption is that inputs are images of objects with
outlines, in front of a background and lit from a side.
"""

from math import log, pi

import torch
from torch import Tensor
from torch.nn import functional as F

from clonecost.types import Shape

SHAPES = 6  # at most, in one image
ON_BLACK = 0.5  # share of images with a black background
STRIPED = 0.3  # share of the shapes
ROUGH = 0.5  # share of the images
CHUNK = 128  # images drawn at a time: they fit the processor's caches


def drawings(count: int, shape: Shape, rng: torch.Generator) -> Tensor:
    """Draw (count, C, H, W) pixels in [0, 1] for the shape (C, H, W), on the device of `rng`.

    Example:
        >>> drawings(4, (1, 16, 16), torch.Generator()).shape
        torch.Size([4, 1, 16, 16])
    """
    image = torch.empty(count, *shape, device=rng.device)
    for part in image.split(CHUNK):
        _draw(part, rng)
    return image


def _draw(image: Tensor, rng: torch.Generator) -> None:
    """Overwrite (n, C, H, W)."""
    count, channels, height, width = image.shape
    device = image.device

    def uniform(n: int, low: float, high: float, values: int = 1) -> Tensor:
        return low + (high - low) * torch.rand(n, values, 1, 1, generator=rng, device=device)

    def log_uniform(n: int, low: float, high: float) -> Tensor:
        return uniform(n, log(low), log(high)).exp()

    down = torch.linspace(-1, 1, height, device=device).view(1, 1, -1, 1)
    right = torch.linspace(-1, 1, width, device=device).view(1, 1, 1, -1)
    image.copy_(uniform(count, 0, 1, channels) * (uniform(count, 0, 1) > ON_BLACK))
    number = torch.randint(1, SHAPES + 1, (count,), generator=rng, device=device)
    for layer in range(SHAPES):
        drawn = (number > layer).nonzero().flatten()
        n = len(drawn)
        # coordinates in the shape's own frame: rotated and shifted, 1 at the rim
        angle, x, y = uniform(n, 0, pi), right - uniform(n, -0.8, 0.8), down - uniform(n, -0.8, 0.8)
        along = (x * angle.cos() + y * angle.sin()) / log_uniform(n, 0.08, 1)
        across = (y * angle.cos() - x * angle.sin()) / log_uniform(n, 0.08, 1)
        # |along|^p + |across|^p = 1 is a rhombus at p = 1, an ellipse at 2, a box far above
        power = log_uniform(n, 1, 10)
        logs = ((part.abs() + 1e-6).log() * power for part in (along, across))
        rim = (torch.logaddexp(*logs) / power).exp()
        inside = ((1 - rim) * log_uniform(n, 2, 30)).sigmoid()
        light = uniform(n, -0.5, 0.5) * along + uniform(n, -0.5, 0.5) * across
        striped = (torch.rand(n, generator=rng, device=device) < STRIPED).nonzero().flatten()
        k = len(striped)
        waves = (uniform(k, 2, 20) * along[striped] + uniform(k, 0, 2 * pi)).sin()
        light[striped] += uniform(k, 0, 0.5) * waves
        fill = (uniform(n, 0, 1, channels) + light).clamp(0, 1)
        image[drawn] = torch.lerp(image[drawn], fill, inside.expand_as(fill))
    # noise, coarse or fine; black stays black
    rough = (torch.rand(count, generator=rng, device=device) < ROUGH).nonzero().flatten()
    n = len(rough)
    coarse = (n, channels, max(1, height // 4), max(1, width // 4))
    if n:
        patches = F.interpolate(
            torch.randn(coarse, generator=rng, device=device), (height, width), mode="bilinear"
        )
        grain = torch.randn(patches.shape, generator=rng, device=device)
        noise = patches + uniform(n, 0, 1) * grain
        image[rough] = (image[rough] * (1 + uniform(n, 0, 0.25) * noise)).clamp(0, 1)
