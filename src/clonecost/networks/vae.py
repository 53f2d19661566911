"""The VAE of Black-Box Ripper (NeurIPS 2020): its decoder is the body of that paper's ProGAN.

The network's own space is [-1, 1]: `to_space` leads there from pixels, `to_pixels` back. The
decoder ends in a linear layer, so its output is not bound to that range. The authors hand it to the
victim as it is; ours is clamped on the way back, because an image API takes pixels.

All layers are equalised (ProGAN, ICLR 2018, section 4.1): weights start as N(0, 1) and are scaled
at run time by sqrt(2 / fan_in), so that Adam's steps are of one relative size in every layer.
"""

from math import prod, sqrt
from typing import NamedTuple

import torch
from torch import Tensor, nn

from clonecost.errors import SpecError
from clonecost.types import Shape

LATENT_DIM = 256
SIDES = 8  # H and W are multiples of it: three poolings on the way in, three doublings out
SLOPE = 0.2  # of every LeakyReLU


class EqualisedConv2d(nn.Conv2d):
    """A convolution whose weights are scaled by sqrt(2 / fan_in) at run time; biases start at 0."""

    def __init__(self, incoming: int, outgoing: int, kernel: int | Shape, padding: int = 0) -> None:
        super().__init__(incoming, outgoing, kernel, padding=padding)  # type: ignore[arg-type]
        self.scale = sqrt(2 / (incoming * prod(self.kernel_size)))
        _start(self.weight, self.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        return self._conv_forward(inputs, self.weight * self.scale, self.bias)


class EqualisedLinear(nn.Linear):
    """A linear layer whose weights are scaled by sqrt(2 / fan_in) at run time."""

    def __init__(self, incoming: int, outgoing: int) -> None:
        super().__init__(incoming, outgoing)
        self.scale = sqrt(2 / incoming)
        _start(self.weight, self.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        return nn.functional.linear(inputs, self.weight * self.scale, self.bias)


class PixelNorm(nn.Module):
    """x / sqrt(mean over channels of x^2 + 1e-8): every place of a map gets unit length."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs * (inputs.square().mean(1, keepdim=True) + 1e-8).rsqrt()


class Encoder(nn.Module):
    """(n, C, H, W) in [-1, 1] -> (n, 2, latent_dim): means and logarithms of variances.

    3,531,744 parameters for (1, 32, 32), 3,531,808 for (3, 32, 32).
    """

    def __init__(self, image_shape: Shape, latent_dim: int = LATENT_DIM, width: int = 32) -> None:
        super().__init__()
        channels, inner = image_shape[0], _inner(image_shape)
        self.body = nn.Sequential(
            EqualisedConv2d(channels, width, 1), nn.LeakyReLU(SLOPE),
            _down(width), _down(2 * width), _down(4 * width),
            EqualisedConv2d(8 * width, 8 * width, 3, 1), nn.LeakyReLU(SLOPE),
            EqualisedConv2d(8 * width, 16 * width, inner), nn.LeakyReLU(SLOPE),
            nn.Flatten(),
            EqualisedLinear(16 * width, 2 * latent_dim), nn.Unflatten(1, (2, latent_dim)),
        )  # fmt: skip

    def forward(self, inputs: Tensor) -> Tensor:
        return self.body(inputs)


class Decoder(nn.Module):
    """(n, latent_dim) -> (n, C, H, W), linear: meant for [-1, 1], not bound to it.

    2,223,841 parameters for (1, 32, 32), 2,223,907 for (3, 32, 32): ProGAN's up to 32x32.
    """

    def __init__(self, image_shape: Shape, latent_dim: int = LATENT_DIM, width: int = 32) -> None:
        super().__init__()
        channels, inner = image_shape[0], _inner(image_shape)
        wide = 8 * width
        self.body = nn.Sequential(
            EqualisedLinear(latent_dim, wide * prod(inner)), nn.Unflatten(1, (wide, *inner)),
            PixelNorm(), nn.LeakyReLU(SLOPE),
            *_normed(wide, wide),
            _up(4 * width), _up(2 * width), _up(width),
            EqualisedConv2d(width, channels, 1),
        )  # fmt: skip

    def forward(self, latents: Tensor) -> Tensor:
        return self.body(latents)


class VaeOutput(NamedTuple):
    reconstruction: Tensor  # (n, C, H, W), unbounded
    mean: Tensor  # (n, latent_dim) of the latents given the image
    log_variance: Tensor  # (n, latent_dim)


class Vae(nn.Module):
    """Encode to mean and variance, sample, decode. Initial weights: torch's global random state.

    Raises:
        SpecError: H or W is no multiple of 8, or a number is not positive.
    """

    def __init__(self, image_shape: Shape, latent_dim: int = LATENT_DIM, width: int = 32) -> None:
        super().__init__()
        if len(image_shape) != 3 or min(image_shape) < 1 or any(s % SIDES for s in image_shape[1:]):
            raise SpecError(
                f"the VAE makes images (C, H, W) with H and W multiples of {SIDES}, not "
                f"{tuple(image_shape)}; name such a shape, as 1,32,32"
            )
        if latent_dim < 1 or width < 1:
            raise SpecError(
                f"the VAE needs latent_dim >= 1 and width >= 1, got {latent_dim} and {width}"
            )
        self.encoder = Encoder(image_shape, latent_dim, width)
        self.decoder = Decoder(image_shape, latent_dim, width)

    def forward(self, inputs: Tensor, rng: torch.Generator) -> VaeOutput:
        """(n, C, H, W) in [-1, 1] -> what comes back; `rng`, on their device, draws the latents."""
        # float: sampling and KL keep their precision when layers run in a lower one
        mean, log_variance = self.encoder(inputs).float().unbind(1)
        latents = reparametrise(mean, log_variance, rng)
        return VaeOutput(self.decoder(latents).float(), mean, log_variance)


def reparametrise(mean: Tensor, log_variance: Tensor, rng: torch.Generator) -> Tensor:
    """Latents ~ N(mean, exp(log_variance)), differentiable in both (Kingma, Welling 2014, 2.4)."""
    noise = torch.randn(mean.shape, generator=rng, device=mean.device, dtype=mean.dtype)
    return mean + noise * (log_variance / 2).exp()


class ElboTerms(NamedTuple):
    """Both (n,), in nats; see `elbo_terms`."""

    reconstruction: Tensor
    kl: Tensor


def elbo_terms(
    inputs: Tensor, reconstruction: Tensor, mean: Tensor, log_variance: Tensor
) -> ElboTerms:
    """The two terms of the negative evidence bound, one value a row.

    `reconstruction` is the squared error, summed over the d values of an image: as published, and
    -log N(inputs; reconstruction, I/2) - (d/2) log pi. So noise of variance 1/2 (in [-1, 1]) is
    what makes the sum of both terms, plus (d/2) log pi, an upper bound of -log p(inputs).
    `kl` is KL(N(mean, exp(log_variance)) || N(0, I)), summed over the latents (Kingma, Welling
    2014, appendix B).
    """
    error = (inputs - reconstruction).square().flatten(1).sum(1)
    kl = (mean.square() + log_variance.exp() - 1 - log_variance).sum(1) / 2
    return ElboTerms(error, kl)


def to_space(pixels: Tensor) -> Tensor:
    """Pixels in [0, 1] -> the network's space, [-1, 1]."""
    return pixels * 2 - 1


def to_pixels(outputs: Tensor) -> Tensor:
    """The decoder's unbounded output -> float32 pixels in [0, 1], clamped."""
    return ((outputs.float() + 1) / 2).clamp(0, 1)


def _inner(image_shape: Shape) -> tuple[int, int]:
    """(H, W) of the smallest maps."""
    return image_shape[1] // SIDES, image_shape[2] // SIDES


def _down(width: int) -> nn.Sequential:
    """Twice the channels, half the sides."""
    return nn.Sequential(
        EqualisedConv2d(width, width, 3, 1), nn.LeakyReLU(SLOPE),
        EqualisedConv2d(width, 2 * width, 3, 1), nn.LeakyReLU(SLOPE),
        nn.MaxPool2d(2),
    )  # fmt: skip


def _up(width: int) -> nn.Sequential:
    """From 2 * width channels to width, twice the sides."""
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
        *_normed(2 * width, width),
        *_normed(width, width),
    )


def _normed(incoming: int, outgoing: int) -> list[nn.Module]:
    return [EqualisedConv2d(incoming, outgoing, 3, 1), PixelNorm(), nn.LeakyReLU(SLOPE)]


def _start(weight: Tensor, bias: Tensor | None) -> None:
    if not weight.is_meta:  # torch would load a second's worth of modules, to draw nothing
        nn.init.normal_(weight)
    if bias is not None:
        nn.init.zeros_(bias)
