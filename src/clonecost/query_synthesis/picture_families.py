"""Families of pictures that are made without data, and noise as their control.

Every family maps (count, (C, H, W), rng) to (count, C, H, W) pixels in [0, 1] on the device of
`rng`, every row with its own draw.

    drawings   soft shapes before a background             (`procedural_images`)
    clouds     noise with the spectrum |f|^-a,  a ~ U(1, 3): the statistics of natural pictures
    mosaics    patches with straight borders, each with its own colour, shade and stripes
    scenes     a piece of a mosaic with the outline of a drawing, before clouds
    noise      every value by itself
"""

from collections.abc import Callable
from math import pi

import torch
from torch import Tensor

from clonecost.query_synthesis.image_mutation import outlines, replace_share
from clonecost.query_synthesis.procedural_images import drawings
from clonecost.types import Shape

Family = Callable[[int, Shape, torch.Generator], Tensor]
CELLS = 24  # at most, in one mosaic
CHUNK = 64  # mosaics made at a time


def clouds(count: int, shape: Shape, rng: torch.Generator) -> Tensor:
    """Noise whose amplitude falls with the frequency; channels of one image resemble each other.

    Example:
        >>> clouds(4, (3, 16, 16), torch.Generator()).shape
        torch.Size([4, 3, 16, 16])
    """
    channels, height, width = shape
    device = rng.device
    down = torch.fft.fftfreq(height, device=device)[:, None]
    right = torch.fft.rfftfreq(width, device=device)
    frequency = (down.square() + right.square()).sqrt().clamp_min(1 / max(height, width))
    fall = 1 + 2 * torch.rand(count, 1, 1, 1, generator=rng, device=device)
    noise = torch.randn(count, channels, height, width, generator=rng, device=device)
    common = torch.rand(count, 1, 1, 1, generator=rng, device=device)
    noise = noise.mean(1, keepdim=True) * channels**0.5 * common + (1 - common) * noise
    image = torch.fft.irfft2(torch.fft.rfft2(noise) * frequency**-fall, (height, width))
    spread, mean = torch.std_mean(image, (2, 3), keepdim=True)
    contrast = 0.05 + 0.3 * torch.rand(count, channels, 1, 1, generator=rng, device=device)
    level = 0.2 + 0.6 * torch.rand(count, channels, 1, 1, generator=rng, device=device)
    return ((image - mean) / (spread + 1e-6) * contrast + level).clamp(0, 1)


def mosaics(count: int, shape: Shape, rng: torch.Generator) -> Tensor:
    """Every pixel belongs to the nearest of some centres, by a distance that the image stretches.

    Example:
        >>> mosaics(4, (1, 16, 16), torch.Generator()).shape
        torch.Size([4, 1, 16, 16])
    """
    made = torch.empty(count, *shape, device=rng.device)
    for part in made.split(CHUNK):
        part.copy_(_mosaic(len(part), shape, rng))
    return made


def _mosaic(count: int, shape: Shape, rng: torch.Generator) -> Tensor:
    channels, height, width = shape
    device = rng.device

    def uniform(low: float, high: float, *sizes: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *sizes, generator=rng, device=device)

    y = torch.linspace(-1, 1, height, device=device).view(1, -1, 1).expand(1, height, width)
    x = torch.linspace(-1, 1, width, device=device).view(1, 1, -1).expand(1, height, width)
    grid = torch.stack([y.flatten(1), x.flatten(1)], 2)  # (1, H W, 2)
    turn, stretch = uniform(0, pi, 1, 1), uniform(-1, 1, 1, 1).exp()
    cos, sin = turn.cos(), turn.sin()
    axes = torch.stack([torch.cat([cos, -sin], 2), torch.cat([sin * stretch, cos * stretch], 2)], 2)
    axes = axes.view(count, 2, 2)
    centres, places = uniform(-1.2, 1.2, CELLS, 2) @ axes, grid @ axes
    weight = uniform(0, 0.4, CELLS)
    number = torch.randint(2, CELLS + 1, (count, 1), generator=rng, device=device)
    weight = weight + 1e3 * (torch.arange(CELLS, device=device) >= number)
    cell = (torch.cdist(places, centres).square() + weight[:, None]).argmin(2)  # (n, H W)

    def of_cell(values: Tensor) -> Tensor:
        """(n, CELLS, k) -> (n, k, H, W)."""
        picked = values.gather(1, cell[:, :, None].expand(-1, -1, values.shape[2]))
        return picked.transpose(1, 2).reshape(count, -1, height, width)

    grey, tint = uniform(0, 1, CELLS, 1), uniform(0, 0.5, 1, 1)
    colour = grey + tint * uniform(-1, 1, CELLS, channels)
    slope = of_cell(uniform(-0.4, 0.4, CELLS, 2))
    wave = of_cell(uniform(-12, 12, CELLS, 2))
    depth = of_cell(uniform(-1, 0.35, CELLS, 1).clamp_min(0))
    shade = slope[:, :1] * y[:, None] + slope[:, 1:] * x[:, None]
    stripes = (wave[:, :1] * y[:, None] + wave[:, 1:] * x[:, None]).sin() * depth
    return (of_cell(colour) + shade + stripes).clamp(0, 1)


def scenes(count: int, shape: Shape, rng: torch.Generator) -> Tensor:
    """A piece of a mosaic with the outline of a drawing, before clouds or another piece.

    Example:
        >>> scenes(4, (1, 16, 16), torch.Generator()).shape
        torch.Size([4, 1, 16, 16])
    """
    objects, behind = mosaics(count, shape, rng), clouds(count, shape, rng)
    cut = outlines(drawings(count, shape, rng), rng)
    return cut * objects + (1 - cut) * replace_share(0.3, behind, objects.roll(1, 0), rng)


def noise(count: int, shape: Shape, rng: torch.Generator) -> Tensor:
    """Every value by itself, uniform: the control of the other families.

    Example:
        >>> noise(4, (1, 16, 16), torch.Generator()).shape
        torch.Size([4, 1, 16, 16])
    """
    return torch.rand(count, *shape, generator=rng, device=rng.device)


FAMILIES: dict[str, Family] = {
    "drawings": drawings, "clouds": clouds, "mosaics": mosaics, "scenes": scenes, "noise": noise,
}  # fmt: skip
