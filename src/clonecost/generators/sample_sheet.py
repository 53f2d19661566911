"""A PNG with a generator's samples."""

import io
from collections.abc import Mapping

from PIL import Image, ImageDraw
from torch import Tensor

GRID = 8  # images per row and column of a panel
TILE = 64  # approximate side of an image on the sheet, in pixels
GAP, HEAD = 16, 20  # between panels, and above them for their captions


def sample_sheet(panels: Mapping[str, Tensor]) -> bytes:
    """A PNG of captioned panels side by side, each with up to 8x8 images.

    Args:
        panels: caption -> (n, C, H, W) pixels in [0, 1], all of one shape, C 1 (grey) or 3 (RGB).
    """
    height, width = next(iter(panels.values())).shape[2:]
    scale = max(1, TILE // max(height, width))
    across, down = GRID * width * scale, GRID * height * scale
    step = across + GAP
    sheet = Image.new("RGB", (step * len(panels) - GAP, HEAD + down), "white")
    draw = ImageDraw.Draw(sheet)
    for at, (caption, images) in enumerate(panels.items()):
        draw.text((at * step, 4), caption, fill="black")
        panel = _panel(images).resize((across, down), Image.Resampling.NEAREST)
        sheet.paste(panel, (at * step, HEAD))
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


def _panel(images: Tensor) -> Image.Image:
    """A grid of the images, row by row; missing ones are black."""
    n, c, h, w = images.shape
    grid = images.new_zeros(GRID * GRID, c, h, w)
    grid[:n] = images[: GRID * GRID]
    tiles = grid.view(GRID, GRID, c, h, w).permute(0, 3, 1, 4, 2).reshape(GRID * h, GRID * w, c)
    pixels = (tiles * 255).round().byte().expand(-1, -1, 3)
    return Image.fromarray(pixels.cpu().numpy())
