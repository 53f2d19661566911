"""Arrays of an .npz file, whose stated sizes are checked before memory is taken.

Nothing here opens a pickle.
"""

import io
import math
import zipfile
import zlib
from collections.abc import Collection
from lzma import LZMAError
from pathlib import Path
from tokenize import TokenError
from typing import Any

from numpy.lib import format as npy
from numpy.typing import NDArray

from clonecost.errors import Advice, DataError
from clonecost.persistence.file_limits import (
    ARRAY_HEADER,
    INFLATION,
    SMALL,
    must_fit_memory,
    regular_file,
)
from clonecost.safe_text import first_line

BROKEN = (
    ValueError, TypeError, OSError, EOFError, RuntimeError, NotImplementedError, SyntaxError,
    MemoryError, OverflowError, zipfile.BadZipFile, zlib.error, LZMAError,
    TokenError,
)  # fmt: skip


def read_npz(path: Path, wanted: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
    """The arrays of a file by name, in this machine's byte order.

    Args:
        wanted: the names that are read, if they are there; None: all.

    Raises:
        DataError: no such file, no plain arrays, damaged, or larger than the memory.

    Example:
        >>> read_npz(Path("mine.npz"), ["inputs"])["inputs"].shape  # doctest: +SKIP
        (100, 3, 32, 32)
    """
    regular_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = {
                entry.filename.removesuffix(".npy"): entry
                for entry in archive.infolist()
                if entry.filename.endswith(".npy")
            }
            chosen = {
                name: entry for name, entry in members.items() if wanted is None or name in wanted
            }
            total = sum(_stated(archive, entry) for entry in chosen.values())
            must_fit_memory(str(path), total)
            return {name: _array(archive, entry) for name, entry in chosen.items()}
    except BROKEN as error:
        raise DataError(
            f"{path} cannot be read ({first_line(error)}).",
            Advice("save plain numeric arrays with numpy.savez"),
        ) from error


def _stated(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> int:
    """The bytes that the header of an array states.

    Raises:
        ValueError: no header, objects, another size than the archive states, or a bomb.
    """
    with archive.open(entry) as stream:
        start = io.BytesIO(stream.read(ARRAY_HEADER))
    version = npy.read_magic(start)
    if version == (1, 0):
        shape, _, dtype = npy.read_array_header_1_0(start)
    elif version == (2, 0):
        shape, _, dtype = npy.read_array_header_2_0(start)
    else:
        raise ValueError(f"{entry.filename} has an unknown version {version}")
    if dtype.hasobject:
        raise ValueError(f"{entry.filename} holds Python objects, which are never opened")
    size = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or start.tell() + size != entry.file_size:
        raise ValueError(
            f"{entry.filename} states {size:,} bytes and has {entry.file_size - start.tell():,}"
        )
    if size > SMALL and size > INFLATION * entry.compress_size:
        raise ValueError(
            f"{entry.filename} grows from {entry.compress_size:,} to {size:,} bytes, more than "
            f"{INFLATION} times"
        )
    return size


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(entry) as stream:
        values: NDArray[Any] = npy.read_array(stream, allow_pickle=False)
    return values.astype(values.dtype.newbyteorder("="), copy=False)
