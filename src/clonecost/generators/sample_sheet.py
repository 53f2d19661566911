"""One picture that shows what a generator makes."""

import io
from collections.abc import Mapping

from PIL import Image, ImageDraw
from torch import Tensor

GRID = 8  # images a row and a column of a panel
TILE = 64  # a side of an image on the sheet is about so many pixels
GAP, HEAD = 16, 20  # between panels, and above them for their captions


def sample_sheet(panels: Mapping[str, Tensor]) -> bytes:
    """A PNG of captioned panels side by side, each of up to 8x8 images.

    Images are (n, C, H, W) pixels in [0, 1] of one shape, C being 1 (grey) or 3 (RGB).
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
    """Row by row; what is missing at the end stays black."""
    n, c, h, w = images.shape
    grid = images.new_zeros(GRID * GRID, c, h, w)
    grid[:n] = images[: GRID * GRID]
    tiles = grid.view(GRID, GRID, c, h, w).permute(0, 3, 1, 4, 2).reshape(GRID * h, GRID * w, c)
    pixels = (tiles * 255).round().byte().expand(-1, -1, 3)
    return Image.fromarray(pixels.cpu().numpy())
