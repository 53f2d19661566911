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


def photos(split: Split, shape: Shape | None = None) -> tuple[PaintedRows, Tensor]:
    """Random crops of scikit-learn's two photographs, (n, C, H, W) uint8, and (n,) labels.

    The label is the number of the photograph. Crops have eight sizes, equally often, and are
    resized (antialiased) and shuffled, with one seed for each split. The crops of "test" come from
    the same two photographs and overlap those of "train": the set is proxy data with natural image
    statistics, and no test set. None is cropped yet.

    Args:
        shape: (C, H, W) of the rows that are asked for. Up to 32 pixels a side, and without it,
            they are (3, 32, 32), from squares of 16 to 160 pixels. For larger ones every row is a
            crop in the proportions of `shape`, from an eighth of the largest one to all of it.
    """
    from sklearn.datasets import load_sample_images

    card = DATASETS["photos"]
    count = getattr(card, split) // (len(card.classes) * len(_SIDES))
    rng = np.random.default_rng(_PHOTOS_SEED[split])
    images = torch.from_numpy(np.stack(load_sample_images().images)).permute(0, 3, 1, 2)
    large = shape is not None and max(shape[1:]) > max(card.shape[1:])
    size = tuple(shape) if shape is not None and large else card.shape
    sides = _windows(size, tuple(images.shape[2:])) if large else [(side, side) for side in _SIDES]
    places = []  # photograph, height, width, top and left of each crop
    for label in range(len(images)):
        for height, width in sides:
            room = (images.shape[2] - height, images.shape[3] - width)
            top, left = (rng.integers(most + 1, size=count) for most in room)
            fixed = np.broadcast_to([[label], [height], [width]], (3, count))
            places.append(np.concatenate([fixed, [top, left]]).T)
    order = rng.permutation(count * len(places))
    recipes = torch.from_numpy(np.concatenate(places)[order])
    crops = unpainted(recipes, partial(_cropped, images, size), size, images, keep=not large)
    return crops, recipes[:, 0].clone()


def _windows(shape: Shape, room: Shape) -> list[tuple[int, int]]:
    """Heights and widths in the proportions of (C, H, W), from an eighth of the room to all."""
    _, height, width = shape
    scale = min(room[0] / height, room[1] / width)
    shares = np.geomspace(1 / len(_SIDES), 1, len(_SIDES))
    return [
        (max(1, int(share * scale * height)), max(1, int(share * scale * width)))
        for share in shares.tolist()
    ]


def _cropped(images: Tensor, shape: Shape, places: Tensor) -> Tensor:
    """(k, C, H, W) photographs and (m, 5) places -> (m, *shape)."""
    crops = torch.empty(len(places), *shape, dtype=torch.uint8)
    for height, width in places[:, 1:3].unique(dim=0).tolist():
        of_size = (places[:, 1] == height) & (places[:, 2] == width)
        label, _, _, top, left = places[of_size].T
        windows = images.unfold(2, height, 1).unfold(3, width, 1)  # (k, C, rows, columns, h, w)
        crops[of_size] = fit_rows(windows[label, :, top, left], shape)
    return crops
