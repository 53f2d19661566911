"""Image data sets that are installed with scikit-learn and need no download."""

from functools import partial

import numpy as np
import torch
from torch import Tensor

from clonecost.data.catalogue import DATASETS, Split
from clonecost.data.fitting import fit_rows
from clonecost.data.painted_rows import PaintedRows, unpainted
from clonecost.types import LabelledInputs, Shape

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


def photos(split: Split) -> tuple[PaintedRows, Tensor]:
    """Random square crops of scikit-learn's two photographs, (n, 3, 32, 32) uint8, and (n,) labels.

    The label is the number of the photograph. Crops have eight sizes from 16 to 160 pixels, equally
    often, and are resized (antialiased) and shuffled, with one seed for each split. The crops of
    "test" come from the same two photographs and overlap those of "train": the set is proxy data
    with natural image statistics, and no test set. None is cropped yet.
    """
    from sklearn.datasets import load_sample_images

    card = DATASETS["photos"]
    count = getattr(card, split) // (len(card.classes) * len(_SIDES))
    rng = np.random.default_rng(_PHOTOS_SEED[split])
    images = torch.from_numpy(np.stack(load_sample_images().images)).permute(0, 3, 1, 2)
    places = []  # photograph, side, top and left of each crop
    for label in range(len(images)):
        for side in _SIDES:
            top, left = (rng.integers(size - side + 1, size=count) for size in images.shape[2:])
            fixed = np.broadcast_to([[label], [side]], (2, count))
            places.append(np.concatenate([fixed, [top, left]]).T)
    order = rng.permutation(count * len(places))
    recipes = torch.from_numpy(np.concatenate(places)[order])
    crops = unpainted(recipes, partial(_cropped, images, card.shape), card.shape, images)
    return crops, recipes[:, 0].clone()


def _cropped(images: Tensor, shape: Shape, places: Tensor) -> Tensor:
    """(k, C, H, W) photographs and (m, 4) places -> (m, *shape)."""
    crops = torch.empty(len(places), *shape, dtype=torch.uint8)
    for side in places[:, 1].unique().tolist():
        of_side = places[:, 1] == side
        label, _, top, left = places[of_side].T
        windows = images.unfold(2, side, 1).unfold(3, side, 1)  # (k, C, rows, columns, side, side)
        crops[of_side] = fit_rows(windows[label, :, top, left], shape)
    return crops
