"""Public inputs are pixels in [0, 1]; every network carries the normalisation it was made for."""

import torch
from torch import Tensor, nn


class Normalise(nn.Module):
    """(x - mean) / std per channel, on a new tensor: the caller's pixels stay as they are.

    The constants are buffers of shape (C, 1, 1): they are saved with the weights, move with the
    network, and are not parameters.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", _per_channel(mean, channels))
        self.register_buffer("std", _per_channel(std, channels))

    def forward(self, inputs: Tensor) -> Tensor:
        normalised = (inputs - self.mean) / self.std
        # every layer behind keeps this layout; on a CPU it makes convolutions 1.1 to 1.5 times
        # faster, on a GPU it pays with low precision only
        on_cpu = normalised.device.type == "cpu" and normalised.ndim == 4
        return normalised.contiguous(memory_format=torch.channels_last) if on_cpu else normalised


def _per_channel(values: tuple[float, ...], channels: int) -> Tensor:
    # clone: safetensors refuses tensors that share memory, which `expand` makes
    return torch.tensor(values, dtype=torch.float32).expand(channels).clone().view(channels, 1, 1)
