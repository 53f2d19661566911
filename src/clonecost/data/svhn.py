"""SVHN's cropped digits as MATLAB files: http://ufldl.stanford.edu/housenumbers ("format 2")."""

import math
from pathlib import Path

import numpy as np
import torch

from clonecost.data.catalogue import Split
from clonecost.errors import Advice, DataError
from clonecost.persistence.file_limits import must_fit_memory, regular_file
from clonecost.safe_text import first_line
from clonecost.types import LabelledInputs


def find(folder: Path, split: Split) -> list[Path]:
    """The file of a split, or an empty list."""
    path = folder / f"{split}_32x32.mat"
    return [path] if path.is_file() else []


def read(paths: list[Path], split: Split) -> LabelledInputs:
    """(n, 3, 32, 32) uint8 and (n,) labels; the file's label 10 is the digit 0.

    Raises:
        DataError: the file is damaged, or holds other arrays.
    """
    from scipy.io import loadmat, whosmat  # the import takes half a second

    [path] = paths
    regular_file(path)
    try:
        stated = {name: shape for name, shape, _ in whosmat(str(path))}
        must_fit_memory(str(path), 2 * math.prod(stated.get("X", (0,))))  # as stored, and turned
        content = loadmat(str(path), variable_names=["X", "y"])
    except DataError:
        raise
    except Exception as error:  # SciPy raises a dozen unrelated types on a broken file
        raise DataError(
            f"{path} cannot be read ({first_line(error)}).", Advice("get the file again")
        ) from error
    images, labels = content.get("X"), content.get("y")
    if images is None or labels is None or images.dtype != np.uint8 or images.ndim != 4:
        raise DataError(
            f"{path} lacks images X (H, W, C, n) or labels y.", Advice("get the file again")
        )
    if images.shape[3] != labels.size:
        raise DataError(
            f"{path} holds {images.shape[3]:,} images and {labels.size:,} labels.",
            Advice("get it again"),
        )
    inputs = torch.from_numpy(np.ascontiguousarray(images.transpose(3, 2, 0, 1)))
    return LabelledInputs(inputs, torch.from_numpy(labels.reshape(-1).astype(np.int64) % 10))
