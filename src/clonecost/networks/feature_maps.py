"""The step of a generator from numbers to maps, in the layout in which convolutions are fast."""

import torch
from torch import Tensor, nn


class FeatureMaps(nn.Unflatten):
    """(n, prod(shape)) -> (n, *shape), channels last on a CPU.

    `nn.Unflatten` makes ordinary maps, whatever layout the network's weights have, and the layers
    after it keep what they are given, in which convolutions take longer (docs/speed.md).

    Example:
        >>> FeatureMaps(4, 2, 2)(torch.zeros(3, 16)).shape
        torch.Size([3, 4, 2, 2])
    """

    def __init__(self, *shape: int) -> None:
        super().__init__(1, shape)

    def forward(self, input: Tensor) -> Tensor:
        maps = super().forward(input)
        on_cpu = maps.device.type == "cpu"  # a GPU gains in low precision only
        return maps.contiguous(memory_format=torch.channels_last) if on_cpu else maps
