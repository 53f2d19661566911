"""Image data sets that are installed with scikit-learn and need no download."""

import numpy as np
import torch
from torch import Tensor

from clonecost.data.catalogue import DATASETS, Split
from clonecost.data.fitting import fit
from clonecost.types import LabelledInputs

_DIGITS_SEED = 0
_PHOTOS_SEED: dict[Split, int] = {"train": 1, "test": 2}
_TRAIN_SHARE = 0.7
_SIDES = (16, 24, 32, 48, 64, 96, 128, 160)  # pixels of a crop, each size equally often


def digits(split: Split) -> LabelledInputs:
    """scikit-learn's 1,797 digits as (n, 1, 8, 8) uint8; 0..16 is scaled to 0..255 and rounded.

    There is no official split. A fixed seeded permutation within each class puts 70 % into train
    and the rest into test.
    """
    from sklearn.datasets import load_digits  # the import takes a second

    found = load_digits()
    rng = np.random.default_rng(_DIGITS_SEED)
    chosen = []
    for digit in range(10):
        rows = rng.permutation(np.flatnonzero(found.target == digit))
        cut = round(_TRAIN_SHARE * len(rows))
        chosen.append(rows[:cut] if split == "train" else rows[cut:])
    index = rng.permutation(np.concatenate(chosen))
    pixels = np.rint(found.images[index] / 16 * 255).astype(np.uint8)
    labels = found.target[index].astype(np.int64)
    return LabelledInputs(torch.from_numpy(pixels).unsqueeze(1), torch.from_numpy(labels))


def photos(split: Split) -> LabelledInputs:
    """Random square crops of scikit-learn's two photographs as (n, 3, 32, 32) uint8.

    The label is the number of the photograph. Crops have eight sizes from 16 to 160 pixels, equally
    often, and are resized (antialiased) and shuffled, with one seed for each split. The crops of
    "test" come from the same two photographs and overlap those of "train": the set is proxy data
    with natural image statistics, and no test set.
    """
    from sklearn.datasets import load_sample_images

    card = DATASETS["photos"]
    count = getattr(card, split) // (len(card.classes) * len(_SIDES))
    rng = np.random.default_rng(_PHOTOS_SEED[split])
    inputs, labels = [], []
    for label, photo in enumerate(load_sample_images().images):
        image = torch.from_numpy(photo.copy()).permute(2, 0, 1)
        for side in _SIDES:
            crops = LabelledInputs(_crops(image, side, count, rng), torch.full((count,), label))
            inputs.append(fit(crops, card.shape).inputs)
            labels.append(crops.labels)
    index = torch.from_numpy(rng.permutation(count * len(inputs)))
    return LabelledInputs(torch.cat(inputs)[index], torch.cat(labels)[index])


def _crops(image: Tensor, side: int, count: int, rng: np.random.Generator) -> Tensor:
    """(C, H, W) -> (count, C, side, side) at uniformly random positions."""
    windows = image.unfold(1, side, 1).unfold(2, side, 1)  # (C, rows, columns, side, side), a view
    top = torch.from_numpy(rng.integers(windows.shape[1], size=count))
    left = torch.from_numpy(rng.integers(windows.shape[2], size=count))
    return windows[:, top, left].transpose(0, 1)
