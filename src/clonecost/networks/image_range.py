"""Shared by image generators: the range [-1, 1] of their outputs, and the check of image sides."""

from functools import cache

import torch
from torch import Tensor

from clonecost.errors import SetKey, SpecError
from clonecost.types import Shape


def to_space(pixels: Tensor) -> Tensor:
    """Pixels in [0, 1] -> the networks' range [-1, 1]."""
    return pixels * 2 - 1


def to_pixels(outputs: Tensor) -> Tensor:
    """The networks' range -> float32 pixels in [0, 1], clamped: a linear layer may exceed it."""
    return ((outputs.float() + 1) / 2).clamp(0, 1)


def smallest_maps(what: str, image_shape: Shape, halvings: int) -> tuple[int, int]:
    """(H, W) after `halvings` halvings of the sides.

    Args:
        what: the network, as the error names it.
        image_shape: (C, H, W).
        halvings: of each side.

    Raises:
        SpecError: the shape is not (C, H, W), or a side is not a multiple of 2^halvings.
    """
    step = 2**halvings
    if len(image_shape) != 3 or min(image_shape) < 1 or any(s % step for s in image_shape[1:]):
        raise SpecError(
            f"{what[0].upper()}{what[1:]} makes images (C, H, W) with H and W multiples of {step}, "
            f"not {tuple(image_shape)}", SetKey("shape", (1, 32, 32)),
        )  # fmt: skip
    return image_shape[1] // step, image_shape[2] // step


@cache  # once: a copy to a GPU waits for it
def per_channel(values: tuple[float, ...], device: torch.device) -> Tensor:
    """One value for each channel of a batch of images: (1, C, 1, 1) on the device.

    Example:
        >>> per_channel((0.5, 0.25), torch.device("cpu")).shape
        torch.Size([1, 2, 1, 1])
    """
    return torch.tensor(values, device=device).view(1, -1, 1, 1)
