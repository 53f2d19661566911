"""The generator of DFME (CVPR 2021) and DisGUIDE (AAAI 2023), there called GeneratorA."""

from typing import Literal

from torch import Tensor, nn

from clonecost.errors import Advice, SpecError
from clonecost.networks.feature_maps import FeatureMaps
from clonecost.networks.upsample_conv import EnlargingConv2d
from clonecost.types import Shape


class GeneratorA(nn.Module):
    """(n, latent_dim) -> (n, C, H, W), unbounded; the caller applies `tanh` to get [-1, 1].

    The last BatchNorm has no parameters: in training every channel has mean 0 and variance 1 over
    the batch, which prevents saturated and blank images. 2,329,091 parameters for latent_dim 256,
    (3, 32, 32) and width 64 (the papers' ngf).

    The paper states linear upsampling and ReLU; its code uses nearest and LeakyReLU(0.2), as here
    by default.
    """

    def __init__(
        self,
        latent_dim: int,
        image_shape: Shape,
        *,
        width: int = 64,
        upsampling: Literal["nearest", "bilinear"] = "nearest",
    ) -> None:
        super().__init__()
        c, h, w = image_shape
        wide = 2 * width

        def enlarge(incoming: int, outgoing: int) -> nn.Module:
            if upsampling == "nearest":
                return EnlargingConv2d(incoming, outgoing)
            smooth = nn.Upsample(scale_factor=2, mode=upsampling)
            return nn.Sequential(smooth, nn.Conv2d(incoming, outgoing, 3, padding=1))

        self.body = nn.Sequential(
            nn.Linear(latent_dim, wide * (h // 4) * (w // 4)),
            FeatureMaps(wide, h // 4, w // 4),
            nn.BatchNorm2d(wide),
            enlarge(wide, wide), nn.BatchNorm2d(wide), nn.LeakyReLU(0.2),
            enlarge(wide, width), nn.BatchNorm2d(width), nn.LeakyReLU(0.2),
            nn.Conv2d(width, c, 3, padding=1),
            nn.BatchNorm2d(c, affine=False),
        )  # fmt: skip

    def forward(self, latents: Tensor) -> Tensor:
        return self.body(latents)


def build_generator(
    latent_dim: int,
    image_shape: Shape,
    *,
    width: int = 64,
    upsampling: Literal["nearest", "bilinear"] = "nearest",
) -> nn.Module:
    """Build a `GeneratorA`; its initial weights come from torch's global random state.

    Args:
        latent_dim: length of a latent.
        image_shape: (C, H, W), H and W multiples of 4.
        width: the papers' ngf.
        upsampling: of both doublings.

    Raises:
        SpecError: a side is not a multiple of 4, a number is not positive, or `upsampling`
            is unknown.

    Example:
        >>> import torch
        >>> build_generator(8, (1, 8, 8), width=4)(torch.randn(2, 8)).shape
        torch.Size([2, 1, 8, 8])
    """
    if len(image_shape) != 3 or min(image_shape) < 1 or any(side % 4 for side in image_shape[1:]):
        raise SpecError(
            "The generator makes images (C, H, W) with H and W multiples of 4",
            Advice("pad or resize the images"), got=image_shape,
        )  # fmt: skip
    if latent_dim < 1 or width < 1:
        raise SpecError(
            "The generator needs latent_dim >= 1 and width >= 1",
                Advice("raise the value that is below"),
            got=f"{latent_dim} and {width}",
        )  # fmt: skip
    if upsampling not in ("nearest", "bilinear"):
        raise SpecError(
            "Unknown upsampling", Advice("set `upsampling`"), got=repr(upsampling),
            want="'nearest' or 'bilinear'",
        )  # fmt: skip
    return GeneratorA(latent_dim, image_shape, width=width, upsampling=upsampling)
