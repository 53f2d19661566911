"""Views of one picture: patches, turned, sheared and recoloured, some of them mixed in pairs.

    side     s = sqrt(a) times the largest patch,  log a ~ U(log scale, 0)
    place    uniform, so that the patch before it is turned lies in the picture
    turn     R(angle) Shear(slant) diag(+-1, 1),   angle, slant ~ U(-30, 30) degrees; edges mirror
    colour   ((x - m) c + m) b, m the patch's mean, times a gain for each channel;  perhaps 1 - x
    CutMix   a box of the area 1 - l of one patch shows another patch,    l ~ Beta(1, 1)
    mixup    l times one patch plus (1 - l) times another,                l ~ Beta(1, 1)

A view is determined by `NUMBERS` uniform numbers, so that rows can be drawn again instead of kept.
"""

from dataclasses import dataclass
from math import log, pi

import torch
from torch import Tensor
from torch.nn import functional as F

from clonecost.types import Shape, as_bytes, as_pixels

_OF_PATCH = 12  # uniform numbers of one patch
NUMBERS = 2 * _OF_PATCH + 4  # of a view: two patches, and how they are mixed
CHUNK = 1 << 22  # values rendered at a time


@dataclass(frozen=True, kw_only=True)
class ViewSettings:
    """The ranges of the numbers of a view.

    Attributes:
        scale: smallest share of the picture's area that a patch shows.
        turn: largest angle and largest slant, in degrees.
        jitter: largest change of brightness, contrast and each channel's gain.
        invert: share of the patches whose light and dark are exchanged.
        cutmix, mixup: shares of the views that are mixed from two patches.
    """

    scale: float = 0.01
    turn: float = 30.0
    jitter: float = 0.4
    invert: float = 0.0
    cutmix: float = 0.5
    mixup: float = 0.0


@dataclass(frozen=True, kw_only=True)
class PictureViews:
    """Views of a picture by their places: (n, C, H, W) uint8, painted when they are asked for.

    Attributes:
        levels: the picture as (C, h, w) float32 in [0, 1], then halved again and again.
        numbers: (n, NUMBERS) uniform in [0, 1).
        row_shape: (C, H, W) of a view.

    Example:
        >>> picture = torch.randint(256, (3, 90, 120), dtype=torch.uint8)
        >>> numbers = torch.rand(5, NUMBERS)
        >>> views_of(picture, (1, 28, 28), ViewSettings(), numbers)[:2].shape
        torch.Size([2, 1, 28, 28])
    """

    levels: tuple[Tensor, ...]
    numbers: Tensor
    row_shape: Shape
    settings: ViewSettings

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def shape(self) -> Shape:
        """(n, C, H, W)."""
        return (len(self), *self.row_shape)

    def __getitem__(self, index: Tensor | slice, /) -> Tensor:
        if isinstance(index, Tensor):
            index = index.to(self.numbers.device)
        step = max(1, CHUNK // self.levels[0].new_empty(self.row_shape, device="meta").numel())
        parts = self.numbers[index].split(step)
        empty = self.numbers.new_empty(0, *self.row_shape, dtype=torch.uint8)
        return torch.cat([empty, *(as_bytes(self._views(part)) for part in parts)])

    def _views(self, numbers: Tensor) -> Tensor:
        """(n, C, H, W) in [0, 1], not rounded."""
        first, second, mix = numbers.split([_OF_PATCH, _OF_PATCH, NUMBERS - 2 * _OF_PATCH], 1)
        how, share, down, right = mix.unbind(1)
        own, other = self._patches(first), self._patches(second)
        share = share.view(-1, 1, 1, 1)
        cut = _boxes(1 - share.flatten(), down, right, self.row_shape[1:])
        is_cut = (how < self.settings.cutmix).view(-1, 1, 1, 1)
        is_mixed = (how >= 1 - self.settings.mixup).view(-1, 1, 1, 1) & ~is_cut
        weight = torch.where(is_cut, 1 - cut, torch.where(is_mixed, share, 1.0))
        return torch.lerp(other, own, weight)

    def _patches(self, numbers: Tensor) -> Tensor:
        area, down, right, angle, slant, mirror, bright, contrast, red, green, blue, inverse = (
            numbers.unbind(1)
        )
        channels, height, width = self.row_shape
        full = self.levels[0].shape[1:]
        largest = min(full[0] / height, full[1] / width)  # pixels of the picture for each of a view
        size = largest * (log(self.settings.scale) * (1 - area) / 2).exp()
        high, wide = size * height, size * width
        centre_y = high / 2 + down * (full[0] - high)
        centre_x = wide / 2 + right * (full[1] - wide)
        most = self.settings.turn / 180 * pi
        turn, shear = (2 * angle - 1) * most, ((2 * slant - 1) * most).tan()
        flip = torch.where(mirror < 0.5, -1.0, 1.0)
        cos, sin = turn.cos(), turn.sin()
        # in half sides of the picture: column by column of the view's axes
        theta = torch.stack([
            cos * flip * wide / full[1], (cos * shear - sin) * high / full[1],
            2 * centre_x / full[1] - 1,
            sin * flip * wide / full[0], (sin * shear + cos) * high / full[0],
            2 * centre_y / full[0] - 1,
        ], 1).view(-1, 2, 3)  # fmt: skip
        patches = self._sampled(theta, size)
        gain = 1 + self.settings.jitter * (2 * torch.stack([red, green, blue], 1) - 1)
        gain = gain[:, :channels] if channels == 3 else torch.ones_like(gain[:, :1])
        bright, contrast = (
            1 + self.settings.jitter * (2 * part - 1) for part in (bright, contrast)
        )
        mean = patches.mean((1, 2, 3), keepdim=True)
        coloured = ((patches - mean) * _wide(contrast) + mean) * _wide(bright)
        coloured = (coloured * gain[:, :, None, None]).clamp(0, 1)
        return torch.where(_wide(inverse) < self.settings.invert, 1 - coloured, coloured)

    def _sampled(self, theta: Tensor, size: Tensor) -> Tensor:
        """The picture at the views' pixels, from the level whose pixels are as large as theirs."""
        level = size.log2().floor().long().clamp(0, len(self.levels) - 1)
        patches = theta.new_empty(len(theta), *self.row_shape)
        for number, picture in enumerate(self.levels):
            rows = (level == number).nonzero().flatten()
            if not len(rows):
                continue
            grid = F.affine_grid(theta[rows], [len(rows), *self.row_shape], align_corners=False)
            patches[rows] = F.grid_sample(
                picture.expand(len(rows), -1, -1, -1), grid, padding_mode="reflection",
                align_corners=False,
            )  # fmt: skip
        return patches


def views_of(
    picture: Tensor, shape: Shape, settings: ViewSettings, numbers: Tensor
) -> PictureViews:
    """Views of a picture, (C, h, w) uint8 with the channels of `shape`, on the device of `numbers`.

    Args:
        numbers: (n, NUMBERS) uniform in [0, 1).
    """
    levels = [as_pixels(picture).to(numbers.device)]
    while min(levels[-1].shape[1:]) >= 8:
        levels.append(F.avg_pool2d(levels[-1], 2, ceil_mode=True))
    return PictureViews(
        levels=tuple(levels), numbers=numbers, row_shape=shape, settings=settings
    )  # fmt: skip


def _boxes(area: Tensor, down: Tensor, right: Tensor, sides: Shape) -> Tensor:
    """(n, 1, H, W) masks of 0 and 1: boxes of that share of the area, cut off at the edges."""
    half = area.sqrt() / 2
    y, x = (
        ((torch.arange(side, device=area.device) + 0.5) / side - centre[:, None]).abs()
        for side, centre in zip(sides, (down, right), strict=True)
    )
    return ((y < half[:, None])[:, :, None] & (x < half[:, None])[:, None]).float().unsqueeze(1)


def _wide(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)
