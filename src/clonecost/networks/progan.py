"""ProGAN up to 32x32 (or other multiples of 8), as in Black-Box Ripper.

Karras et al., ICLR 2018, https://arxiv.org/abs/1710.10196: both networks grow by a block when the
images double; the new block is faded in while alpha rises from 0 to 1. The networks' range is
[-1, 1]; G ends in a linear layer, so its output can exceed that range.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from clonecost.errors import Advice, SpecError
from clonecost.networks.equalised_layers import (
    SLOPE,
    EqualisedConv2d,
    EqualisedLinear,
    down,
    entry,
    up,
)
from clonecost.networks.image_range import smallest_maps
from clonecost.types import Shape

LATENT_DIM = 256
GROWTH = 3  # doublings: stage 0 makes images of an eighth of the sides, stage 3 whole ones


class ProganGenerator(nn.Module):
    """(n, 256) -> (n, C, H, W), an eighth of the sides at stage 0, linear.

    2,223,907 parameters are active at stage 3 for RGB of 32x32 and width 32: the VAE's decoder.

    Raises:
        SpecError: H or W is not a multiple of 8, or the width is not positive.
    """

    def __init__(self, image_shape: Shape, width: int = 32) -> None:
        super().__init__()
        inner = _smallest(image_shape, width)
        widths = [width * 2 ** (GROWTH - stage) for stage in range(GROWTH + 1)]
        self.enter = nn.Sequential(*entry(LATENT_DIM, widths[0], inner))
        self.blocks = nn.ModuleList(up(wide) for wide in widths[1:])
        self.to_image = nn.ModuleList(EqualisedConv2d(wide, image_shape[0], 1) for wide in widths)

    def forward(self, latents: Tensor, stage: int = GROWTH, alpha: float = 1.0) -> Tensor:
        """Blend the newest block (share `alpha`) with the enlarged output of the stage before."""
        maps, before = self.enter(latents), None
        for block in list(self.blocks)[:stage]:
            before, maps = maps, block(maps)
        images = cast(Tensor, self.to_image[stage](maps))
        if before is None or alpha >= 1:
            return images
        return enlarge(self.to_image[stage - 1](before)).lerp(images, alpha)


class ProganCritic(nn.Module):
    """(n, C, H, W) with a stage's sides -> (n,) scores, larger for real images. It mirrors G.

    One more channel before the last layers is the variation over the batch (`variation`).
    """

    def __init__(self, image_shape: Shape, width: int = 32) -> None:
        super().__init__()
        inner = _smallest(image_shape, width)
        widths = [width * 2 ** (GROWTH - stage) for stage in range(GROWTH + 1)]
        self.from_image = nn.ModuleList(
            nn.Sequential(EqualisedConv2d(image_shape[0], wide, 1), nn.LeakyReLU(SLOPE))
            for wide in widths
        )
        # blocks[s] leads from stage s + 1 to stage s
        self.blocks = nn.ModuleList(
            down(wide, nn.AvgPool2d(2) if stage == 0 else nn.MaxPool2d(2))
            for stage, wide in enumerate(widths[1:])
        )
        self.leave = nn.Sequential(
            EqualisedConv2d(widths[0] + 1, widths[0], 3, 1), nn.LeakyReLU(SLOPE),
            EqualisedConv2d(widths[0], 2 * widths[0], inner), nn.LeakyReLU(SLOPE),
            nn.Flatten(), EqualisedLinear(2 * widths[0], 1), nn.Flatten(0),
        )  # fmt: skip

    def forward(self, images: Tensor, stage: int = GROWTH, alpha: float = 1.0) -> Tensor:
        maps = self.from_image[stage](images)
        if stage:
            maps = self.blocks[stage - 1](maps)
            if alpha < 1:
                maps = self.from_image[stage - 1](avg_pool2d(images, 2)).lerp(maps, alpha)
        for block in reversed(list(self.blocks)[: max(0, stage - 1)]):
            maps = block(maps)
        return cast(Tensor, self.leave(torch.cat([maps, variation(maps)], 1)))


def variation(maps: Tensor) -> Tensor:
    """(n, c, h, w) -> (n, 1, h, w): the standard deviation over the batch, averaged over values."""
    deviation = (maps.var(0, correction=0) + 1e-8).sqrt().mean()
    return deviation.expand(len(maps), 1, *maps.shape[2:])


def enlarge(images: Tensor) -> Tensor:
    """Double the sides, bilinearly."""
    return interpolate(images, scale_factor=2, mode="bilinear", align_corners=False)


def shrunk(images: Tensor, stage: int, alpha: float = 1.0) -> Tensor:
    """Images at a stage's sides, by averaging; less sharp while the stage is faded in."""
    small = avg_pool2d(images, 2 ** (GROWTH - stage)) if stage < GROWTH else images
    if stage == 0 or alpha >= 1:
        return small
    return interpolate(avg_pool2d(small, 2), scale_factor=2, mode="nearest").lerp(small, alpha)


def _smallest(image_shape: Shape, width: int) -> tuple[int, int]:
    if width < 1:
        raise SpecError("ProGAN needs width >= 1", Advice("set `width`"), got=width)
    return smallest_maps("ProGAN", image_shape, GROWTH)
