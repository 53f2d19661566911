"""MNIST's idx files, plain or gzipped: http://yann.lecun.com/exdb/mnist ("file formats")."""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clonecost.data.catalogue import Split
from clonecost.errors import Advice, DataError
from clonecost.persistence.file_limits import DEFLATE, must_fit_memory, regular_file
from clonecost.safe_text import first_line
from clonecost.types import LabelledInputs

_STEM: dict[Split, str] = {"train": "train", "test": "t10k"}
_UINT8 = 0x08  # the type code of both MNIST files
_PART = 1 << 20  # bytes read at a time


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

    The size in the header is compared with that of the file before memory is taken.

    Raises:
        DataError: not such a file, truncated, or larger than the memory.
    """
    stored = regular_file(path)
    again = Advice("get the file again")
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            start = stream.read(4)
            if len(start) < 4 or start[:2] != b"\0\0" or start[2] != _UINT8:
                raise DataError(f"{path} is not an idx file of unsigned bytes.", again)
            header = stream.read(4 * start[3])
            if len(header) < 4 * start[3]:
                raise DataError(f"{path} is truncated within its header.", again)
            shape = struct.unpack(f">{start[3]}I", header)
            size = math.prod(shape)
            most = DEFLATE * stored if path.suffix == ".gz" else stored - 4 - len(header)
            if size > most:
                raise DataError(
                    f"{path} holds at most {most:,} bytes of data where its header states "
                    f"{size:,}.", again,
                )  # fmt: skip
            must_fit_memory(str(path), size)
            values = np.empty(size, np.uint8)
            held = _fill(stream, values)
            if held != size or stream.read(1):
                got = f"{held:,}" if held < size else f"more than {size:,}"
                raise DataError(
                    f"{path} holds {got} bytes of data where its header states {size:,}.", again
                )
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({first_line(error)}).", again) from error
    return torch.from_numpy(values.reshape(shape))


def _fill(stream: gzip.GzipFile | BinaryIO, values: NDArray[np.uint8]) -> int:
    """Read into `values` until it is full or the stream ends; the number of bytes."""
    held = 0
    while held < len(values):
        part = stream.read(min(_PART, len(values) - held))
        if not part:
            break
        values[held : held + len(part)] = np.frombuffer(part, np.uint8)
        held += len(part)
    return held
