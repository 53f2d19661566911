"""DCGAN for images of 32x32 (or other multiples of 4), as DeGAN and DFMS use it.

Radford et al., ICLR 2016, https://arxiv.org/abs/1511.06434; widths and last layers as in DeGAN,
AAAI 2020, https://arxiv.org/abs/1912.11960. No biases; convolutions start as N(0, 0.02^2), scales
of batch norm as N(1, 0.02^2). The networks' own space is [-1, 1]: G ends in tanh.
"""

from itertools import chain

from torch import Tensor, nn

from clonecost.errors import Advice, SpecError
from clonecost.networks.image_range import smallest_maps
from clonecost.types import Shape

LATENT_DIM = 100
SLOPE = 0.2  # of every LeakyReLU
LEAST_HALVINGS, HALVINGS = 2, 4  # of the sides in D; G starts from maps of twice that size


class DcganGenerator(nn.Module):
    """(n, 100) -> (n, C, H, W) in [-1, 1]. 3,573,824 parameters for RGB of 32x32 and width 64.

    Sides that are not multiples of 16 are halved (in D) and doubled (here) less often.

    Raises:
        SpecError: H or W is no multiple of 4, or the width is not positive.
    """

    def __init__(self, image_shape: Shape, width: int = 64) -> None:
        super().__init__()
        halvings, smallest = _smallest(image_shape, width)
        inner = (2 * smallest[0], 2 * smallest[1])
        widest = width * 2 ** (halvings - 1)
        doublings = [_up(widest >> done) for done in range(1, halvings)]
        self.body = nn.Sequential(
            nn.Unflatten(1, (LATENT_DIM, 1, 1)),
            nn.ConvTranspose2d(LATENT_DIM, widest, inner, bias=False),
            nn.BatchNorm2d(widest), nn.ReLU(),
            *chain(*doublings),
            nn.ConvTranspose2d(width, image_shape[0], 1, bias=False),
            nn.Tanh(),
        )  # fmt: skip
        _initialise(self)

    def forward(self, latents: Tensor) -> Tensor:
        return self.body(latents)


class DcganDiscriminator(nn.Module):
    """(n, C, H, W) in [-1, 1] -> (n,) logits of being real; 2,759,424 parameters for RGB of 32x32.

    The published network ends in a sigmoid, which is part of the loss here.

    Raises:
        SpecError: as `DcganGenerator`.
    """

    def __init__(self, image_shape: Shape, width: int = 64) -> None:
        super().__init__()
        halvings, smallest = _smallest(image_shape, width)
        further = [_down(width << done) for done in range(halvings - 1)]
        self.body = nn.Sequential(
            nn.Conv2d(image_shape[0], width, 4, 2, 1, bias=False), nn.LeakyReLU(SLOPE),
            *chain(*further),
            nn.Conv2d(width << (halvings - 1), 1, smallest, bias=False), nn.Flatten(0),
        )  # fmt: skip
        _initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        return self.body(images)


def _smallest(image_shape: Shape, width: int) -> tuple[int, tuple[int, int]]:
    """The number of halvings of the sides, and the sides after them."""
    if width < 1:
        raise SpecError("DCGAN needs width >= 1", Advice("set `width`"), got=width)
    halvings = HALVINGS
    while halvings > LEAST_HALVINGS and any(side % 2**halvings for side in image_shape[1:]):
        halvings -= 1
    return halvings, smallest_maps("DCGAN", image_shape, halvings)


def _up(width: int) -> list[nn.Module]:
    """2 * width channels to width, twice the sides."""
    convolution = nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False)
    return [convolution, nn.BatchNorm2d(width), nn.ReLU()]


def _down(width: int) -> list[nn.Module]:
    """width channels to 2 * width, half the sides."""
    convolution = nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False)
    return [convolution, nn.BatchNorm2d(2 * width), nn.LeakyReLU(SLOPE)]


def _initialise(network: nn.Module) -> None:
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d):
            mean = 1.0 if isinstance(layer, nn.BatchNorm2d) else 0.0
            if not layer.weight.is_meta:
                nn.init.normal_(layer.weight, mean, 0.02)
