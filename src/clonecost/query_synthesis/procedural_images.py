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


def drawings(count: int, shape: Shape, rng: torch.Generator) -> Tensor:
    """Draw (count, C, H, W) pixels in [0, 1] for the shape (C, H, W), on the device of `rng`.

    Example:
        >>> drawings(4, (1, 16, 16), torch.Generator()).shape
        torch.Size([4, 1, 16, 16])
    """
    channels, height, width = shape
    device = rng.device

    def uniform(low: float, high: float, values: int = 1) -> Tensor:
        drawn = torch.rand(count, values, 1, 1, generator=rng, device=device)
        return low + (high - low) * drawn

    def log_uniform(low: float, high: float) -> Tensor:
        return uniform(log(low), log(high)).exp()

    down = torch.linspace(-1, 1, height, device=device).view(1, 1, -1, 1)
    right = torch.linspace(-1, 1, width, device=device).view(1, 1, 1, -1)
    background = uniform(0, 1, channels) * (uniform(0, 1) > ON_BLACK)
    image = background.expand(count, channels, height, width)
    number = torch.randint(1, SHAPES + 1, (count, 1, 1, 1), generator=rng, device=device)
    for layer in range(SHAPES):
        # coordinates in the shape's own frame: rotated and shifted, 1 at the rim
        angle, x, y = uniform(0, pi), right - uniform(-0.8, 0.8), down - uniform(-0.8, 0.8)
        along = (x * angle.cos() + y * angle.sin()) / log_uniform(0.08, 1)
        across = (y * angle.cos() - x * angle.sin()) / log_uniform(0.08, 1)
        # |along|^p + |across|^p = 1 is a rhombus at p = 1, an ellipse at 2, a box far above
        power = log_uniform(1, 10)
        rim = (along.abs() + 1e-6) ** power + (across.abs() + 1e-6) ** power
        inside = ((1 - rim ** (1 / power)) * log_uniform(2, 30)).sigmoid() * (layer < number)
        light = uniform(-0.5, 0.5) * along + uniform(-0.5, 0.5) * across
        waves = (uniform(2, 20) * along + uniform(0, 2 * pi)).sin()
        stripes = uniform(0, 0.5) * waves * (uniform(0, 1) < 0.3)
        fill = (uniform(0, 1, channels) + light + stripes).clamp(0, 1)
        image = image + inside * (fill - image)
    # half of the images get noise, coarse or fine; black stays black
    coarse = (count, channels, max(1, height // 4), max(1, width // 4))
    patches = F.interpolate(
        torch.randn(coarse, generator=rng, device=device), (height, width), mode="bilinear"
    )
    grain = torch.randn(image.shape, generator=rng, device=device)
    roughness = uniform(0, 0.25) * (uniform(0, 1) < 0.5)
    return (image * (1 + roughness * (patches + uniform(0, 1) * grain))).clamp(0, 1)
