"""RandAugment without a loop over images: every row draws its own operations.

Cubuk et al., CVPR workshops 2020, https://arxiv.org/abs/1909.13719. The operations are
AutoAugment's without equalisation, which needs a histogram of every image, and sharpening.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Operation = Callable[[Tensor, Tensor, Tensor], Tensor]  # (images, strength, sign) -> images
# largest values, AutoAugment's: shear factor, share of a side, radians (30 degrees)
SHEAR, SHIFT, ANGLE = 0.3, 0.45, 0.52


def rand_augment(images: Tensor, rng: torch.Generator, *, operations: int = 2) -> Tensor:
    """Apply `operations` random operations of random strength to each row.

    Args:
        images: (n, C, H, W) pixels in [0, 1], on the device of `rng`.
        rng: draws kinds (uniformly over `KINDS`), strengths (U(0, 1)) and signs.

    Returns:
        (n, C, H, W) pixels in [0, 1].

    Example:
        >>> rand_augment(torch.rand(2, 3, 8, 8), torch.Generator()).shape
        torch.Size([2, 3, 8, 8])
    """
    n = len(images)
    for _ in range(operations):
        kind = torch.randint(len(KINDS), (n, 1, 1, 1), generator=rng, device=rng.device)
        strength, side = torch.rand(2, n, 1, 1, 1, generator=rng, device=rng.device)
        sign = torch.where(side < 0.5, -1.0, 1.0)
        changed = _move(images, kind.view(n), (strength * sign).view(n))
        for index, operation in enumerate(COLOURS, start=MOVES):
            changed = torch.where(kind == index, operation(images, strength, sign), changed)
        images = changed.clamp(0, 1)
    return images


def _move(images: Tensor, kind: Tensor, by: Tensor) -> Tensor:
    """Kinds 0 to 5: identity, shear along x or y, shift along x or y, rotation; black enters."""
    one, zero = torch.ones_like(by), torch.zeros_like(by)
    shear_x, shear_y, right, down, angle = (
        torch.where(kind == index, largest * by, zero)
        for index, largest in enumerate((SHEAR, SHEAR, 2 * SHIFT, 2 * SHIFT, ANGLE), start=1)
    )
    cos, sin = angle.cos() * one, angle.sin()
    rows = [cos, -sin + shear_x, right, sin + shear_y, cos, down]
    grid = F.affine_grid(torch.stack(rows, 1).view(-1, 2, 3), list(images.shape), False)
    moved = F.grid_sample(images, grid, padding_mode="zeros", align_corners=False)
    unmoved = (kind == 0) | (kind >= MOVES)
    return torch.where(unmoved.view(-1, 1, 1, 1), images, moved)


def _towards(images: Tensor, other: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
    """Interpolate towards `other` (sign -1) or extrapolate away from it, by up to 0.9."""
    return other + (1 + 0.9 * strength * sign) * (images - other)


def brightness(images: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
    return _towards(images, torch.zeros_like(images), strength, sign)


def contrast(images: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
    return _towards(images, images.mean((1, 2, 3), keepdim=True), strength, sign)


def colour(images: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
    return _towards(images, images.mean(1, keepdim=True), strength, sign)


def posterise(images: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
    """Keep the highest 4 to 8 bits of 8."""
    step = 2 ** (4 * strength).round()
    return ((images * 255).round() / step).floor() * step / 255


def solarise(images: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
    return torch.where(images > 1 - strength, 1 - images, images)


def invert(images: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
    return 1 - images


def autocontrast(images: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
    """Stretch every channel to [0, 1]; a constant channel becomes 0."""
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    return (images - low) / (high - low).clamp_min(1 / 255)


MOVES = 6
COLOURS: tuple[Operation, ...] = (
    brightness, contrast, colour, posterise, solarise, invert, autocontrast,
)  # fmt: skip
KINDS = range(MOVES + len(COLOURS))
