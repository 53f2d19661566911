"""Layers with weights scaled at run time, and the blocks of ProGAN and the VAE built from them.

Karras et al., ICLR 2018, https://arxiv.org/abs/1710.10196, section 4.1: weights start as N(0, 1)
and are scaled at run time by sqrt(2 / fan_in), so that Adam's steps have the same relative size in
every layer.
"""

from math import prod, sqrt

from torch import Tensor, nn

from clonecost.networks.feature_maps import FeatureMaps
from clonecost.types import Shape

SLOPE = 0.2  # of every LeakyReLU


class EqualisedConv2d(nn.Conv2d):
    """A convolution whose weights are scaled by sqrt(2 / fan_in) at run time; biases start at 0."""

    def __init__(self, incoming: int, outgoing: int, kernel: int | Shape, padding: int = 0) -> None:
        super().__init__(incoming, outgoing, kernel, padding=padding)  # type: ignore[arg-type]
        self.scale = sqrt(2 / (incoming * prod(self.kernel_size)))
        _initialise(self.weight, self.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        return self._conv_forward(inputs, self.weight * self.scale, self.bias)


class EqualisedLinear(nn.Linear):
    """A linear layer whose weights are scaled by sqrt(2 / fan_in) at run time."""

    def __init__(self, incoming: int, outgoing: int) -> None:
        super().__init__(incoming, outgoing)
        self.scale = sqrt(2 / incoming)
        _initialise(self.weight, self.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        return nn.functional.linear(inputs, self.weight * self.scale, self.bias)


class PixelNorm(nn.Module):
    """x / sqrt(mean over channels of x^2 + 1e-8), at every position of a map."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs * (inputs.square().mean(1, keepdim=True) + 1e-8).rsqrt()


def entry(latent_dim: int, width: int, inner: tuple[int, int]) -> list[nn.Module]:
    """The first layers of a decoder: (n, latent_dim) -> (n, width, *inner)."""
    return [
        EqualisedLinear(latent_dim, width * prod(inner)), FeatureMaps(width, *inner),
        PixelNorm(), nn.LeakyReLU(SLOPE),
        *normed(width, width),
    ]  # fmt: skip


def up(width: int) -> nn.Sequential:
    """2 * width channels to width, twice the sides."""
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
        *normed(2 * width, width),
        *normed(width, width),
    )


def down(width: int, pool: nn.Module | None = None) -> nn.Sequential:
    """width channels to 2 * width, half the sides, by 2x2 max pooling unless `pool` is given."""
    return nn.Sequential(
        EqualisedConv2d(width, width, 3, 1), nn.LeakyReLU(SLOPE),
        EqualisedConv2d(width, 2 * width, 3, 1), nn.LeakyReLU(SLOPE),
        pool or nn.MaxPool2d(2),
    )  # fmt: skip


def normed(incoming: int, outgoing: int) -> list[nn.Module]:
    """A 3x3 convolution, PixelNorm and LeakyReLU."""
    return [EqualisedConv2d(incoming, outgoing, 3, 1), PixelNorm(), nn.LeakyReLU(SLOPE)]


def _initialise(weight: Tensor, bias: Tensor | None) -> None:
    if not weight.is_meta:  # on the meta device torch would spend a second on imports
        nn.init.normal_(weight)
    if bias is not None:
        nn.init.zeros_(bias)
