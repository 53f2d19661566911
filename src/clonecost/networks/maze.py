"""Generator and critic of MAZE (CVPR 2021), where they are called conv3_gen and conv3_dis."""

from torch import Tensor, nn

from clonecost.errors import Advice, SpecError
from clonecost.networks.feature_maps import FeatureMaps
from clonecost.networks.image_range import smallest_maps
from clonecost.networks.upsample_conv import EnlargingConv2d
from clonecost.types import Shape

LATENT_DIM = 100
SLOPE = 0.2  # of every LeakyReLU
HALVINGS = 2  # of the sides: two doublings in the generator


class Conv3Generator(nn.Module):
    """(n, latent_dim) -> (n, C, H, W), unbounded; the caller applies `tanh` to get [-1, 1].

    As DFME's GeneratorA, but the last BatchNorm has a learnable scale and shift. 1,051,145
    parameters for (3, 32, 32), latent_dim 100 and width 64; 856,067 for (1, 28, 28).

    Raises:
        SpecError: H or W is not a multiple of 4, or a number is not positive.
    """

    def __init__(
        self, image_shape: Shape, latent_dim: int = LATENT_DIM, *, width: int = 64
    ) -> None:
        super().__init__()
        if latent_dim < 1 or width < 1:
            raise SpecError(
                "MAZE's generator needs latent_dim >= 1 and width >= 1",
                Advice("raise the value that is below"),
                got=f"{latent_dim} and {width}",
            )  # fmt: skip
        height, breadth = smallest_maps("MAZE's generator", image_shape, HALVINGS)
        channels, wide = image_shape[0], 2 * width
        self.body = nn.Sequential(
            nn.Linear(latent_dim, wide * height * breadth),
            FeatureMaps(wide, height, breadth),
            nn.BatchNorm2d(wide),
            EnlargingConv2d(wide, wide), nn.BatchNorm2d(wide), nn.LeakyReLU(SLOPE),
            EnlargingConv2d(wide, width), nn.BatchNorm2d(width), nn.LeakyReLU(SLOPE),
            nn.Conv2d(width, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
        )  # fmt: skip

    def forward(self, latents: Tensor) -> Tensor:
        return self.body(latents)


class Conv3Critic(nn.Module):
    """(n, C, H, W) in [-1, 1] -> (n,) scores, larger for the data. No sigmoid, as WGAN-GP needs.

    Instance norm, because the gradient penalty needs scores that depend on one row only. 168,097
    parameters for RGB of any size.

    Raises:
        SpecError: H or W is under 7.
    """

    def __init__(self, image_shape: Shape) -> None:
        super().__init__()
        if len(image_shape) != 3 or min(image_shape[1:]) < 7 or image_shape[0] < 1:
            raise SpecError(
                "MAZE's critic takes images (C, H, W) of at least 7x7", Advice("resize the images"),
                got=tuple(image_shape),
            )  # fmt: skip
        channels = image_shape[0]
        layers: list[nn.Module] = []
        for outgoing, stride in zip((32, 64, 128), strides(min(image_shape[1:])), strict=True):
            layers += [
                nn.Conv2d(channels, outgoing, 4, stride, 1),
                nn.InstanceNorm2d(outgoing, affine=True), nn.LeakyReLU(SLOPE),
            ]  # fmt: skip
            channels = outgoing
        self.body = nn.Sequential(*layers, nn.Conv2d(channels, 1, 4))

    def forward(self, images: Tensor) -> Tensor:
        return self.body(images).mean((1, 2, 3))


def strides(side: int) -> list[int]:
    """Strides of the critic's three layers: 2 if the 4x4 kernel at the end still fits, else 1.

    They are the published 2, 2, 2 for 32x32 and 2, 2, 1 for 28x28.

    Example:
        >>> strides(28)
        [2, 2, 1]
    """
    result = []
    for later in (2, 1, 0):  # each later layer removes at least one row
        halves = side // 2 - later >= 4
        result.append(2 if halves else 1)
        side = side // 2 if halves else side - 1
    return result
