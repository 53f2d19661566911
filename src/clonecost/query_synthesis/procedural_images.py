"""Pictures out of nothing: soft shapes over a background, some striped, some rough.

No data, no victim and no network takes part; what is known is only that inputs are pictures: things
have outlines, stand before something, and are lit from a side.
"""

from math import log, pi

import torch
from torch import Tensor
from torch.nn import functional as F

from clonecost.types import Shape

SHAPES = 6  # at most, in one picture
ON_BLACK = 0.5  # share of the pictures with an empty background


def drawings(count: int, shape: Shape, rng: torch.Generator) -> Tensor:
    """(count, C, H, W) pixels in [0, 1] for shape (C, H, W), on the device of `rng`."""
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
    picture = background.expand(count, channels, height, width)
    number = torch.randint(1, SHAPES + 1, (count, 1, 1, 1), generator=rng, device=device)
    for layer in range(SHAPES):
        # where a pixel lies in the shape's own frame: turned, moved, 1 at its rim
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
        picture = picture + inside * (fill - picture)
    # half of them rough, coarsely or finely; black stays black
    coarse = (count, channels, max(1, height // 4), max(1, width // 4))
    patches = F.interpolate(
        torch.randn(coarse, generator=rng, device=device), (height, width), mode="bilinear"
    )
    grain = torch.randn(picture.shape, generator=rng, device=device)
    roughness = uniform(0, 0.25) * (uniform(0, 1) < 0.5)
    return (picture * (1 + roughness * (patches + uniform(0, 1) * grain))).clamp(0, 1)
