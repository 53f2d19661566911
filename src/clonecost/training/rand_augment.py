"""RandAugment without a loop over images: every row draws its own operations.

Cubuk et al., CVPR workshops 2020, https://arxiv.org/abs/1909.13719. The operations are
AutoAugment's but for equalisation, which needs a histogram of every image, and sharpening.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Change = Callable[[Tensor, Tensor, Tensor], Tensor]  # (pictures, strength, sign) -> pictures
SHEAR, SHIFT, ANGLE = 0.3, 0.45, 0.52  # greatest, as AutoAugment's: 30 degrees, shares of a side


def rand_augment(pictures: Tensor, rng: torch.Generator, *, operations: int = 2) -> Tensor:
    """Each row goes through so many operations of `KINDS`, drawn evenly, of any strength.

    Args:
        pictures: (n, C, H, W) pixels in [0, 1], on the device of `rng`; so is what comes back.
    """
    n = len(pictures)
    for _ in range(operations):
        kind = torch.randint(len(KINDS), (n, 1, 1, 1), generator=rng, device=rng.device)
        strength, side = torch.rand(2, n, 1, 1, 1, generator=rng, device=rng.device)
        sign = torch.where(side < 0.5, -1.0, 1.0)
        changed = _move(pictures, kind.view(n), (strength * sign).view(n))
        for place, change in enumerate(COLOURS, start=MOVES):
            changed = torch.where(kind == place, change(pictures, strength, sign), changed)
        pictures = changed.clamp(0, 1)
    return pictures


def _move(pictures: Tensor, kind: Tensor, by: Tensor) -> Tensor:
    """Kinds 0 to 5: nothing, sheared along x or y, moved along x or y, turned; black enters."""
    one, zero = torch.ones_like(by), torch.zeros_like(by)
    shear_x, shear_y, right, down, angle = (
        torch.where(kind == place, most * by, zero)
        for place, most in enumerate((SHEAR, SHEAR, 2 * SHIFT, 2 * SHIFT, ANGLE), start=1)
    )
    cos, sin = angle.cos() * one, angle.sin()
    rows = [cos, -sin + shear_x, right, sin + shear_y, cos, down]
    grid = F.affine_grid(torch.stack(rows, 1).view(-1, 2, 3), list(pictures.shape), False)
    moved = F.grid_sample(pictures, grid, padding_mode="zeros", align_corners=False)
    still = (kind == 0) | (kind >= MOVES)
    return torch.where(still.view(-1, 1, 1, 1), pictures, moved)


def _towards(pictures: Tensor, other: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
    """Away from `other` or towards it, by up to nine tenths."""
    return other + (1 + 0.9 * strength * sign) * (pictures - other)


def brightness(pictures: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
    return _towards(pictures, torch.zeros_like(pictures), strength, sign)


def contrast(pictures: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
    return _towards(pictures, pictures.mean((1, 2, 3), keepdim=True), strength, sign)


def colour(pictures: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
    return _towards(pictures, pictures.mean(1, keepdim=True), strength, sign)


def posterise(pictures: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
    """Only the highest 4 to 8 bits of 8."""
    step = 2 ** (4 * strength).round()
    return ((pictures * 255).round() / step).floor() * step / 255


def solarise(pictures: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
    return torch.where(pictures > 1 - strength, 1 - pictures, pictures)


def invert(pictures: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
    return 1 - pictures


def autocontrast(pictures: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
    """Every channel from black to white; a flat one becomes black."""
    low, high = pictures.amin((2, 3), keepdim=True), pictures.amax((2, 3), keepdim=True)
    return (pictures - low) / (high - low).clamp_min(1 / 255)


MOVES = 6
COLOURS: tuple[Change, ...] = (
    brightness, contrast, colour, posterise, solarise, invert, autocontrast,
)  # fmt: skip
KINDS = range(MOVES + len(COLOURS))
