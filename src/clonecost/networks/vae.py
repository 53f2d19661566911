"""The VAE of Black-Box Ripper (NeurIPS 2020): its decoder is the body of that paper's ProGAN.

The network's range is [-1, 1] (`clonecost.networks.image_range`). The decoder ends in a linear
layer, so its output can exceed that range. The authors send it to the victim as it is; here
`to_pixels` clamps it, because an image API takes pixels. All layers are equalised.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from clonecost.errors import Advice, SpecError
from clonecost.networks.equalised_layers import (
    SLOPE,
    EqualisedConv2d,
    EqualisedLinear,
    down,
    entry,
    up,
)
from clonecost.networks.image_range import smallest_maps
from clonecost.types import Shape

LATENT_DIM = 256
HALVINGS = 3  # of the sides in the encoder, as many doublings in the decoder


class Encoder(nn.Module):
    """(n, C, H, W) in [-1, 1] -> (n, 2, latent_dim): means and logarithms of variances.

    3,531,744 parameters for (1, 32, 32), 3,531,808 for (3, 32, 32).
    """

    def __init__(self, image_shape: Shape, latent_dim: int = LATENT_DIM, width: int = 32) -> None:
        super().__init__()
        channels, inner = image_shape[0], smallest_maps("the VAE", image_shape, HALVINGS)
        self.body = nn.Sequential(
            EqualisedConv2d(channels, width, 1), nn.LeakyReLU(SLOPE),
            down(width), down(2 * width), down(4 * width),
            EqualisedConv2d(8 * width, 8 * width, 3, 1), nn.LeakyReLU(SLOPE),
            EqualisedConv2d(8 * width, 16 * width, inner), nn.LeakyReLU(SLOPE),
            nn.Flatten(),
            EqualisedLinear(16 * width, 2 * latent_dim), nn.Unflatten(1, (2, latent_dim)),
        )  # fmt: skip

    def forward(self, inputs: Tensor) -> Tensor:
        return self.body(inputs)


class Decoder(nn.Module):
    """(n, latent_dim) -> (n, C, H, W), linear: approximately in [-1, 1].

    2,223,841 parameters for (1, 32, 32), 2,223,907 for (3, 32, 32): ProGAN's up to 32x32.
    """

    def __init__(self, image_shape: Shape, latent_dim: int = LATENT_DIM, width: int = 32) -> None:
        super().__init__()
        channels, inner = image_shape[0], smallest_maps("the VAE", image_shape, HALVINGS)
        self.body = nn.Sequential(
            *entry(latent_dim, 8 * width, inner),
            up(4 * width), up(2 * width), up(width),
            EqualisedConv2d(width, channels, 1),
        )  # fmt: skip

    def forward(self, latents: Tensor) -> Tensor:
        return self.body(latents)


class VaeOutput(NamedTuple):
    """The result of one pass through a `Vae`."""

    reconstruction: Tensor  # (n, C, H, W), unbounded
    mean: Tensor  # (n, latent_dim) of the latents given the image
    log_variance: Tensor  # (n, latent_dim)


class Vae(nn.Module):
    """Encode to mean and variance, sample, decode. Initial weights: torch's global random state.

    Raises:
        SpecError: H or W is not a multiple of 8, or a number is not positive.

    Example:
        >>> vae = Vae((1, 8, 8), latent_dim=4, width=2)
        >>> vae(torch.zeros(2, 1, 8, 8), torch.Generator()).mean.shape
        torch.Size([2, 4])
    """

    def __init__(self, image_shape: Shape, latent_dim: int = LATENT_DIM, width: int = 32) -> None:
        super().__init__()
        if latent_dim < 1 or width < 1:
            raise SpecError(
                "The VAE needs latent_dim >= 1 and width >= 1",
                Advice("raise the value that is below"),
                got=f"{latent_dim} and {width}",
            )  # fmt: skip
        self.encoder = Encoder(image_shape, latent_dim, width)
        self.decoder = Decoder(image_shape, latent_dim, width)

    def forward(self, inputs: Tensor, rng: torch.Generator) -> VaeOutput:
        """Encode (n, C, H, W) in [-1, 1], draw latents by `rng` (on their device), and decode."""
        # float: sampling and KL stay in float32 when layers run in a lower precision
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

    `reconstruction` is the squared error summed over the d values of an image, as published. It
    equals -log N(inputs; reconstruction, I/2) - (d/2) log pi. Hence, for noise of variance 1/2 (in
    [-1, 1]), the sum of both terms plus (d/2) log pi is an upper bound of -log p(inputs).
    `kl` is KL(N(mean, exp(log_variance)) || N(0, I)), summed over the latents (Kingma, Welling
    2014, appendix B).
    """
    error = (inputs - reconstruction).square().flatten(1).sum(1)
    kl = (mean.square() + log_variance.exp() - 1 - log_variance).sum(1) / 2
    return ElboTerms(error, kl)
