"""What generators of images share: the space that they work in, and sides that they can make."""

from torch import Tensor

from clonecost.errors import SetKey, SpecError
from clonecost.types import Shape


def to_space(pixels: Tensor) -> Tensor:
    """Pixels in [0, 1] -> the networks' space, [-1, 1]."""
    return pixels * 2 - 1


def to_pixels(outputs: Tensor) -> Tensor:
    """The networks' space -> float32 pixels in [0, 1], clamped: some end in a linear layer."""
    return ((outputs.float() + 1) / 2).clamp(0, 1)


def smallest_maps(what: str, image_shape: Shape, halvings: int) -> tuple[int, int]:
    """(H, W) of an image that was halved so often.

    Raises:
        SpecError: that is no image (C, H, W), or its sides cannot be halved so often.
    """
    step = 2**halvings
    if len(image_shape) != 3 or min(image_shape) < 1 or any(s % step for s in image_shape[1:]):
        raise SpecError(
            f"{what[0].upper()}{what[1:]} makes images (C, H, W) with H and W multiples of {step}, "
            f"not {tuple(image_shape)}", SetKey("shape", (1, 32, 32)),
        )  # fmt: skip
    return image_shape[1] // step, image_shape[2] // step
