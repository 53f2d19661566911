"""Random crop and horizontal flip of a batch of images, for victims and students."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Augment = Literal["none", "flip", "crop", "crop+flip"]
PAD = 4  # largest shift of a crop at 32 pixels; smaller images in proportion


def augment(inputs: Tensor, how: Augment, rng: torch.Generator) -> Tensor:
    """Shift each row by up to 4 pixels of 32 (zeros enter) and mirror it with probability 0.5.

    Every row has its own draw. A shift is a view of the padded batch, so that a copy takes whole
    lines of W pixels: four times as fast as gathering pixel by pixel.

    Args:
        inputs: (n, C, H, W), uint8 or float; the result has the same shape and type.
        how: "none", "flip", "crop" (the shift) or "crop+flip".
        rng: makes all draws, on its own device.

    Example:
        >>> augment(torch.ones(2, 1, 8, 8), "crop+flip", torch.Generator()).shape
        torch.Size([2, 1, 8, 8])
    """
    if how == "none":
        return inputs
    n, _, h, w = inputs.shape
    reach = min(PAD, PAD * h // 32) if "crop" in how else 0
    shift = torch.randint(2 * reach + 1, (2, n), generator=rng, device=rng.device)
    mirror = torch.rand(n, generator=rng, device=rng.device) < (0.5 if "flip" in how else 0.0)
    crops = F.pad(inputs, (reach,) * 4).unfold(2, h, 1).unfold(3, w, 1)
    down, right = shift.to(inputs.device)
    taken = crops[torch.arange(n, device=inputs.device), :, down, right]
    if "flip" not in how:
        return taken
    return torch.where(mirror.to(inputs.device).view(n, 1, 1, 1), taken.flip(3), taken)
