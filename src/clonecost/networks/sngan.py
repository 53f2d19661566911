"""SNGAN with the projection discriminator, for images of 32x32 (or other multiples of 8).

Miyato et al., ICLR 2018, https://arxiv.org/abs/1802.05957 (spectral norm);
Miyato, Koyama, ICLR 2018, https://arxiv.org/abs/1802.05637 (projection):

    D(x, y) = <e(y), phi(x)> + psi(phi(x)),    phi: residual trunk, ReLU, sum over positions
                                               e: embedding of the class, psi: linear to 1

Without classes D(x) = psi(phi(x)). Every layer of D has the weights W / sigma(W), with sigma from
one power iteration per forward pass. With classes, batch norm in G has a scale and a shift for each
class. The networks' range is [-1, 1]: G ends in tanh.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from clonecost.errors import Advice, SpecError
from clonecost.networks.feature_maps import FeatureMaps
from clonecost.networks.image_range import smallest_maps
from clonecost.networks.upsample_conv import EnlargingConv2d
from clonecost.types import Shape

LATENT_DIM = 128
HALVINGS = 3  # of the sides: three doublings in G


class ConditionalBatchNorm2d(nn.Module):
    """Batch norm with a scale and a shift per class; ordinary batch norm if `classes` is 0."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=classes == 0)
        if classes:
            self.scale, self.shift = (
                nn.Embedding(classes, channels),
                nn.Embedding(classes, channels),
            )
            nn.init.ones_(self.scale.weight)
            nn.init.zeros_(self.shift.weight)

    def forward(self, maps: Tensor, labels: Tensor | None) -> Tensor:
        normed: Tensor = self.norm(maps)
        if labels is None:
            return normed
        scale, shift = (e(labels)[:, :, None, None] for e in (self.scale, self.shift))
        return scale * normed + shift


class UpBlock(nn.Module):
    """Twice the sides: BN, ReLU, nearest x2, conv, BN, ReLU, conv; shortcut: x2 and a 1x1 conv."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.norm1 = ConditionalBatchNorm2d(width, classes)
        self.conv1 = EnlargingConv2d(width, width)
        self.norm2 = ConditionalBatchNorm2d(width, classes)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.shortcut = nn.Conv2d(width, width, 1)
        self.enlarge = nn.Upsample(scale_factor=2)

    def forward(self, maps: Tensor, labels: Tensor | None) -> Tensor:
        h = self.conv1(self.norm1(maps, labels).relu())
        h = self.conv2(self.norm2(h, labels).relu())
        # a 1x1 convolution and nearest doubling commute: the convolution runs on the small maps
        return cast(Tensor, h + self.enlarge(self.shortcut(maps)))


class SnganGenerator(nn.Module):
    """(n, latent_dim) -> (n, C, H, W) in [-1, 1].

    With `classes` > 0, the class is the argmax of the last `classes` latents, so that searches and
    mutations of latents cover the class. 4,276,739 parameters for RGB, width 256 and no classes.

    Raises:
        SpecError: H or W is not a multiple of 8, or a number is not positive.
    """

    def __init__(self, image_shape: Shape, width: int = 256, classes: int = 0) -> None:
        super().__init__()
        if width < 1 or classes < 0:
            raise SpecError(
                "SNGAN needs width >= 1 and classes >= 0", Advice("raise the value that is below"),
                got=f"{width} and {classes}",
            )  # fmt: skip
        channels, inner = image_shape[0], smallest_maps("SNGAN", image_shape, HALVINGS)
        self.latent_dim, self.classes = LATENT_DIM + classes, classes
        self.enter = nn.Linear(LATENT_DIM, width * inner[0] * inner[1])
        self.unflatten = FeatureMaps(width, *inner)
        self.blocks = nn.ModuleList(UpBlock(width, classes) for _ in range(3))
        self.norm = nn.BatchNorm2d(width)
        self.leave = nn.Conv2d(width, channels, 3, padding=1)
        _initialise(self)

    def forward(self, latents: Tensor) -> Tensor:
        z, chosen = latents[:, :LATENT_DIM], latents[:, LATENT_DIM:]
        labels = chosen.argmax(1) if self.classes else None
        maps = self.unflatten(self.enter(z))
        for block in self.blocks:
            maps = block(maps, labels)
        return cast(Tensor, self.leave(self.norm(maps).relu()).tanh())


class DownBlock(nn.Module):
    """[ReLU], conv, ReLU, conv, [2x2 mean]; shortcut: 1x1 conv. The first block omits its ReLU."""

    def __init__(self, incoming: int, outgoing: int, *, first: bool = False, down: bool) -> None:
        super().__init__()
        self.conv1 = _normed(nn.Conv2d(incoming, outgoing, 3, padding=1))
        self.conv2 = _normed(nn.Conv2d(outgoing, outgoing, 3, padding=1))
        learnt = down or incoming != outgoing
        self.shortcut = _normed(nn.Conv2d(incoming, outgoing, 1)) if learnt else nn.Identity()
        self.halve = nn.AvgPool2d(2) if down else nn.Identity()
        self.enter = nn.Identity() if first else nn.ReLU()

    def forward(self, maps: Tensor) -> Tensor:
        h = self.halve(self.conv2(self.conv1(self.enter(maps)).relu()))
        # a 1x1 convolution and a mean commute: the mean comes first
        return cast(Tensor, h + self.shortcut(self.halve(maps)))


class ProjectionDiscriminator(nn.Module):
    """(n, C, H, W) in [-1, 1] and (n,) classes or None -> (n,) scores, positive for real."""

    def __init__(self, channels: int, width: int = 128, classes: int = 0) -> None:
        super().__init__()
        self.phi = nn.Sequential(
            DownBlock(channels, width, first=True, down=True),
            DownBlock(width, width, down=True),
            DownBlock(width, width, down=False),
            DownBlock(width, width, down=False),
            nn.ReLU(),
        )
        self.embed = _normed(nn.Embedding(classes, width)) if classes else None
        self.psi = _normed(nn.Linear(width, 1, bias=False))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        phi = self.phi(images).sum((2, 3))
        score: Tensor = self.psi(phi).squeeze(1)
        if self.embed is None:
            return score
        return score + (self.embed(labels) * phi).sum(1)


def _normed(layer: nn.Module) -> nn.Module:
    """Use W / sigma(W), with Xavier's initial weights; an embedding's are N(0, 1)."""
    if not isinstance(layer, nn.Embedding):
        _initialise(layer)
    return spectral_norm(layer)


def _initialise(network: nn.Module) -> None:
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear) and not layer.weight.is_meta:
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def one_hot_latents(noise: Tensor, labels: Tensor, classes: int) -> Tensor:
    """(n, 128) noise and (n,) labels -> (n, 128 + classes) latents of these classes.

    Example:
        >>> one_hot_latents(torch.zeros(1, 128), torch.tensor([2]), 3)[:, 128:]
        tensor([[0., 0., 1.]])
    """
    return torch.cat([noise, nn.functional.one_hot(labels, classes).to(noise.dtype)], 1)
