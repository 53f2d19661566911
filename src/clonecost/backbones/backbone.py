"""A backbone: pixels of any size -> features, with its resize and normalisation inside."""

import math
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clonecost.backbones.catalogue import Normalisation
from clonecost.backbones.memo import FeatureMemo
from clonecost.errors import Advice, SpecError
from clonecost.types import Shape

BATCH = 32  # pictures at a time: some 300 MB at 224 x 224
# pixels at a time on a processor: an array above 32 MiB goes back to the system after each layer
PASS = 4 * 224 * 224
CONSTANTS: dict[Normalisation, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5,), (0.5,)),
    "none": ((0.0,), (1.0,)),
}


class Encoder(nn.Module):
    """(n, C, H, W) pixels in [0, 1] -> (n, d): channels, resize, normalisation, then the network.

    A picture of another size is resized bilinearly, with antialiasing when it shrinks; grey pixels
    are repeated for three channels, and three are averaged for one. Without training and gradients
    a processor computes a few pictures at a time.

    While its weights stay as they are, it remembers features that it made (`backbones.memo`).

    Args:
        network: (n, *input_shape) normalised pixels -> (n, d), or (n, d, 1, 1).
        input_shape: (C, H, W) of the network's own input.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, network: nn.Module, input_shape: Shape, normalisation: Normalisation
    ) -> None:
        super().__init__()
        self.network, self.input_shape = network, input_shape
        self.memo: FeatureMemo | None = None  # only of weights that stay as they are
        mean, std = CONSTANTS[normalisation]
        if input_shape[0] == 1:
            mean, std = (sum(mean) / len(mean),), (sum(std) / len(std),)
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        make, memo = self._features, self.memo
        if pixels.device.type != "cpu" or self.training or torch.is_grad_enabled():
            return make(pixels)
        rows = max(1, PASS // math.prod(self.input_shape[1:]))
        if isinstance(self.network, Outside):  # it has a memory and batches of its own
            rows = len(pixels)
        parts = pixels.split(rows)
        return torch.cat(
            [make(part) if memo is None else memo.features(part, make) for part in parts]
        )

    def _load_from_state_dict(self, *args: Any) -> None:
        self.memo = None  # other weights may come
        super()._load_from_state_dict(*args)

    def _features(self, pixels: Tensor) -> Tensor:
        x = (self.fitted(pixels) - self.mean) / self.std
        if x.device.type == "cpu":  # convolutions are faster in this layout
            x = x.contiguous(memory_format=torch.channels_last)
        return self.network(x).float().flatten(1)

    def fitted(self, pixels: Tensor) -> Tensor:
        """The pixels in the network's own channels and size."""
        channels, *size = self.input_shape
        if pixels.shape[1] != channels:
            pixels = (
                pixels.mean(1, keepdim=True)
                if channels == 1
                else pixels.mean(1, keepdim=True).expand(-1, channels, -1, -1)
            )
        if list(pixels.shape[2:]) != size:
            pixels = F.interpolate(pixels, size=size, mode="bilinear", antialias=True)
        return pixels


class Outside(nn.Module):
    """A network outside of torch, as a module without parameters; copies share it."""

    def __init__(self, call: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self._call = call

    def forward(self, inputs: Tensor) -> Tensor:
        # its weights are where it put them, and no part of ours moves them to a GPU
        return torch.as_tensor(self._call(inputs.cpu())).to(inputs.device)

    def __deepcopy__(self, memo: dict[int, object]) -> "Outside":
        return Outside(self._call)


class Backbone:
    """A public network that gives d features for each picture.

    Attributes:
        name: as the user wrote it.
        input_shape: (C, H, W) to which pictures are resized.
        features: d.
        weights: sha256 of its weights; empty for code that has none to show.

    Example:
        >>> backbone = load_backbone("efficientnet-lite0")
        >>> backbone(torch.rand(2, 3, 64, 64)).shape
        torch.Size([2, 1280])
    """

    def __init__(self, name: str, encoder: Encoder, *, features: int, weights: str) -> None:
        self.name, self.features, self.weights = name, features, weights
        self._encoder = encoder.eval().requires_grad_(False)

    @property
    def input_shape(self) -> Shape:
        """(C, H, W) to which pictures are resized."""
        return self._encoder.input_shape

    @torch.no_grad()
    def __call__(self, pixels: Tensor, *, batch_size: int = BATCH) -> Tensor:
        """(n, C, H, W) pixels in [0, 1] -> (n, d) float32, on the pixels' device."""
        if not len(pixels):
            return pixels.new_zeros(0, self.features)
        encoder = self._encoder.to(pixels.device)
        return torch.cat([encoder(part) for part in pixels.split(batch_size)])

    def as_module(self, *, frozen: bool = False) -> nn.Module:
        """A copy as a module, (n, C, H, W) pixels in [0, 1] -> (n, d) features.

        Args:
            frozen: in eval mode and without gradients; else in train mode, all weights trainable.

        Raises:
            SpecError: it is to be trained, and is no torch module.
        """
        copied = deepcopy(self._encoder).to("cpu")
        if frozen:
            return copied
        copied.memo = None
        if not any(True for _ in copied.network.parameters()):
            raise SpecError(
                f"The backbone {self.name!r} cannot be trained: it has no weights that torch knows",
                Advice("give one that is a torch module"),
            )
        return copied.requires_grad_(True).train()
