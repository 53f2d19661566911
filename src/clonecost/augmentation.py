"""Light augmentation of a batch of images, for victims and students alike."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Augment = Literal["none", "flip", "crop", "crop+flip"]
PAD = 4  # pixels by which a crop may shift an image of 32; smaller ones in proportion


def augment(inputs: Tensor, how: Augment, rng: torch.Generator) -> Tensor:
    """Shift (zeros enter, up to 4 pixels of 32) and mirror every row by its own draw; (n, C, H, W).

    One gather for the whole batch: output pixel (y, x) is taken from the padded input's
    (y + dy, x + dx), with x running backwards where the row is mirrored.
    """
    if how == "none":
        return inputs
    n, c, h, w = inputs.shape
    reach = min(PAD, PAD * h // 32) if "crop" in how else 0
    shift = torch.randint(2 * reach + 1, (2, n, 1), generator=rng, device=rng.device)
    mirror = torch.rand(n, 1, generator=rng, device=rng.device) < (0.5 if "flip" in how else 0.0)
    across = torch.arange(w, device=rng.device)
    ys = torch.arange(h, device=rng.device) + shift[0]
    xs = torch.where(mirror, across.flip(0), across) + shift[1]
    padded = F.pad(inputs, (reach,) * 4)
    rows, channels = torch.arange(n).view(n, 1, 1, 1), torch.arange(c).view(1, c, 1, 1)
    index = (rows, channels, ys.view(n, 1, h, 1), xs.view(n, 1, 1, w))
    return padded[tuple(i.to(inputs.device) for i in index)]
