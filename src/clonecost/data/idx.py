"""MNIST's idx files, plain or gzipped: http://yann.lecun.com/exdb/mnist ("file formats")."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from clonecost.data.catalogue import Split
from clonecost.errors import Advice, DataError
from clonecost.types import LabelledInputs

_STEM: dict[Split, str] = {"train": "train", "test": "t10k"}
_UINT8 = 0x08  # the type code of both MNIST files


def find(folder: Path, split: Split) -> list[Path]:
    """The image and the label file of a split, or an empty list."""
    stems = (f"{_STEM[split]}-images", f"{_STEM[split]}-labels")
    kinds = ("idx3-ubyte", "idx1-ubyte")
    found = []
    for stem, kind in zip(stems, kinds, strict=True):
        # The older name has a dot. torchvision unpacks beside the .gz; the unpacked file is faster.
        names = [f"{stem}{mark}{kind}{end}" for end in ("", ".gz") for mark in "-."]
        present = [folder / name for name in names if (folder / name).is_file()]
        if not present:
            return []
        found.append(present[0])
    return found


def read(paths: list[Path], split: Split) -> LabelledInputs:
    """(n, 1, H, W) uint8 and (n,) labels.

    Raises:
        DataError: a file is damaged, truncated, or does not match the other one.
    """
    images, labels = (read_idx(path) for path in paths)
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
        raise DataError(
            f"{paths[0]} with {tuple(images.shape)} and {paths[1]} with {tuple(labels.shape)} "
            "values are not images and their labels.",
            Advice("get both files again"),
        )
    return LabelledInputs(images.unsqueeze(1), labels.long())


def read_idx(path: Path) -> Tensor:
    """One idx file of unsigned bytes as a uint8 tensor of the shape in its header.

    Raises:
        DataError: not such a file, or truncated.
    """
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path} cannot be read ({error}).", Advice("get the file again")
        ) from error

    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != _UINT8:
        raise DataError(
            f"{path} is not an idx file of unsigned bytes.", Advice("get the file again")
        )
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise DataError(f"{path} is truncated within its header.", Advice("get the file again"))
    shape = struct.unpack_from(f">{content[3]}I", content, 4)
    if len(content) - start != math.prod(shape):
        raise DataError(
            f"{path} holds {len(content) - start:,} bytes of data where its header states "
            f"{math.prod(shape):,}.",
            Advice("get the file again"),
        )
    values = np.frombuffer(content, np.uint8, offset=start).reshape(shape)
    return torch.from_numpy(values.copy())  # copied: bytes are read-only, a tensor is not
