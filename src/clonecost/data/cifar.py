"""The official *binary* version of CIFAR-10 and CIFAR-100, unpacked or as the tar.gz.

A record is one or two label bytes (CIFAR-100: coarse, then fine), then 3072 bytes of a 3x32x32
image: https://www.cs.toronto.edu/~kriz/cifar.html ("Binary version"). The Python version is a
pickle, which can run code when opened; it is never read.
"""

import gzip
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from clonecost.data.catalogue import Split
from clonecost.errors import Advice, DataError
from clonecost.persistence.file_limits import UNPACKED, must_fit_memory, regular_file
from clonecost.safe_text import first_line
from clonecost.types import LabelledInputs

_PIXELS = 3 * 32 * 32


@dataclass(frozen=True, kw_only=True)
class Binary:
    """The file layout of one of the two data sets.

    Attributes:
        archive: the name of the published tar.gz.
        files: the names of the unpacked files of each split.
        label_bytes: bytes before the image; the last one is the label.
    """

    archive: str
    files: dict[Split, tuple[str, ...]]
    label_bytes: int

    def find(self, folder: Path, split: Split) -> list[Path]:
        """The unpacked files of a split, else the archive, else an empty list."""
        unpacked = [folder / name for name in self.files[split]]
        if all(path.is_file() for path in unpacked):
            return unpacked
        archive = folder / self.archive
        return [archive] if archive.is_file() else []

    def read(self, paths: list[Path], split: Split) -> LabelledInputs:
        """(n, 3, 32, 32) uint8 and (n,) labels.

        Raises:
            DataError: a file is damaged or truncated.
        """
        if paths[0].name == self.archive:
            contents = _unpack(paths[0], self.files[split])
        else:
            contents = {path: _bytes(path) for path in paths}
        size = self.label_bytes + _PIXELS
        for path, content in contents.items():
            if not content or len(content) % size:
                raise DataError(
                    f"{path} holds {len(content):,} bytes, not records of {size:,}: it is "
                    "truncated, or another file.",
                    Advice("get it again"),
                )
        records = torch.from_numpy(
            np.concatenate(
                [np.frombuffer(part, np.uint8).reshape(-1, size) for part in contents.values()]
            )
        )
        inputs = records[:, self.label_bytes :].contiguous().view(-1, 3, 32, 32)
        return LabelledInputs(inputs, records[:, self.label_bytes - 1].long())


CIFAR10 = Binary(
    archive="cifar-10-binary.tar.gz",
    files={
        "train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
        "test": ("test_batch.bin",),
    },
    label_bytes=1,
)
CIFAR100 = Binary(
    archive="cifar-100-binary.tar.gz",
    files={"train": ("train.bin",), "test": ("test.bin",)},
    label_bytes=2,
)


def _bytes(path: Path) -> bytes:
    must_fit_memory(str(path), regular_file(path))
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({first_line(error)}).", Advice("get the file again")
        ) from error


class _Bounded(gzip.GzipFile):
    """The unpacked bytes, of which one read takes no more than the limit into memory."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= UNPACKED:
            raise tarfile.ReadError("it states a size that no file of this data set has")
        return super().read(size)


def _unpack(archive: Path, names: tuple[str, ...]) -> dict[Path, bytes]:
    """The named members, in the order of `names`; nothing is written to disk."""
    regular_file(archive)
    found: dict[str, bytes] = {}
    try:
        with _Bounded(archive) as content, tarfile.open(fileobj=content, mode="r:") as tar:
            for member in tar:
                if member.offset_data + member.size > UNPACKED:
                    raise tarfile.ReadError(f"it unpacks to more than {UNPACKED:,} bytes")
                name = member.name.rpartition("/")[2]
                stream = tar.extractfile(member) if name in names else None
                if stream is not None:
                    found[name] = stream.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{archive} cannot be unpacked ({first_line(error)}).", Advice("get the file again")
        ) from error
    missing = [name for name in names if name not in found]
    if missing:
        raise DataError(
            f"{archive} lacks {', '.join(missing)}.", Advice("get the binary version again")
        )
    return {archive / name: found[name] for name in names}
