from typing import get_args

import pytest
import torch
from torch import Tensor

from clonecost.training.augmentation import Augment, augment


def shifted(image: Tensor, dy: int, dx: int, mirror: bool) -> Tensor:
    """The same by hand, one image at a time."""
    c, h, w = image.shape
    padded = torch.zeros(c, h + 8, w + 8, dtype=image.dtype)
    padded[:, 4 : 4 + h, 4 : 4 + w] = image
    cut = padded[:, dy : dy + h, dx : dx + w]
    return cut.flip(2) if mirror else cut


@pytest.mark.parametrize("how", get_args(Augment))
def test_augmented_rows_are_shifts_and_mirrors_of_their_own_image(how: Augment) -> None:
    rng = torch.Generator().manual_seed(0)
    inputs = torch.randint(1, 256, (40, 2, 32, 35), generator=rng, dtype=torch.uint8)
    outputs = augment(inputs, how, rng)
    assert outputs.dtype == torch.uint8
    shifts = range(9) if "crop" in how else [4]
    mirrors = [False, True] if "flip" in how else [False]
    seen = set()
    for image, output in zip(inputs, outputs, strict=True):
        matches = {
            (dy, dx, mirror)
            for dy in shifts for dx in shifts for mirror in mirrors
            if torch.equal(shifted(image, dy, dx, mirror), output)
        }  # fmt: skip
        assert len(matches) == 1
        seen |= matches
    assert len(seen) == {"none": 1, "flip": 2}.get(how, len(seen))
    assert len(seen) > 20 or "crop" not in how
