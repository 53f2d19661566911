import io

import numpy as np
import torch
from PIL import Image

from clonecost.generators.sample_sheet import GAP, HEAD, sample_sheet


def opened(panels: dict[str, torch.Tensor]) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(sample_sheet(panels))))


def test_images_fill_panels_row_by_row() -> None:
    grey = torch.linspace(0, 1, 64).view(64, 1, 1, 1).expand(64, 1, 32, 32)
    red = torch.zeros(3, 3, 32, 32)  # fewer than a panel holds
    red[:, 0] = 1
    sheet = opened({"grey": grey, "red": red})
    assert sheet.shape == (HEAD + 512, 512 + GAP + 512, 3)
    centres = sheet[HEAD + 32 :: 64, 32:512:64]
    assert (centres == (grey[:, 0, 0, 0] * 255).round().view(8, 8, 1).numpy()).all()
    right = sheet[HEAD + 32 :: 64, 512 + GAP + 32 :: 64]
    assert (right[0, :3] == [255, 0, 0]).all()
    assert right[0, 3:].sum() == right[1:].sum() == 0
    assert (sheet[:, 512 : 512 + GAP] == 255).all()


def test_small_images_are_enlarged_by_whole_factors_and_large_ones_not() -> None:
    assert opened({"": torch.zeros(1, 1, 8, 16)}).shape == (HEAD + 8 * 8 * 4, 8 * 16 * 4, 3)
    assert opened({"": torch.zeros(1, 1, 72, 72)}).shape == (HEAD + 8 * 72, 8 * 72, 3)
