"""The encoded pictures of a pool, by their places: in folders, in TAR files, in Parquet files.

Opening one reads names and sizes; a picture is read from disk when it is asked for.
"""

import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from clonecost.data.class_names import numbered_folders
from clonecost.data.pictures import LEFT_BEHIND, SUFFIXES
from clonecost.errors import Advice, DataError
from clonecost.persistence.file_limits import regular_file
from clonecost.safe_text import first_line

UNLABELLED = -1
_CLASS_SUFFIX = ".cls"  # a file beside a picture of a TAR, as WebDataset has it: its class
_CLASS_DIGITS = 16  # bytes of such a file
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZ": "bzip2", b"\xfd7": "xz", b"\x28\xb5": "zstd"}


class EncodedPictures(Protocol):
    """Pictures as their files hold them. `read` may be called by several threads at once."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """(n,) the classes, -1 where there is none."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes; empty if they have none."""
        ...

    def __len__(self) -> int: ...

    def name(self, place: int) -> str:
        """The picture's file, for messages and records."""
        ...

    def read(self, place: int) -> bytes:
        """The bytes of the picture's file.

        Raises:
            DataError: they cannot be read.
        """
        ...

    def facts(self) -> Iterator[str]:
        """Names and sizes, which stand for the pictures in a digest: none is read for it."""
        ...


@dataclass(frozen=True)
class FolderPictures:
    """The pictures in a folder and in all folders below it, sorted by their paths."""

    folder: Path
    paths: Sequence[str]  # below the folder
    sizes: Sequence[int]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, place: int) -> str:
        return self.paths[place]

    def read(self, place: int) -> bytes:
        path = self.folder / self.paths[place]
        regular_file(path)
        return _bytes_of(path)

    def facts(self) -> Iterator[str]:
        yield from map("{}\0{}".format, self.paths, self.sizes)


@dataclass(frozen=True)
class TarPictures:
    """The pictures in uncompressed TAR files, in the order in which they lie there."""

    files: Sequence[Path]
    of_file: NDArray[np.int64]  # (n,) which file holds the picture
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    names: Sequence[str]
    labels: NDArray[np.int64]
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def name(self, place: int) -> str:
        return f"{self.files[self.of_file[place]].name}/{self.names[place]}"

    def read(self, place: int) -> bytes:
        path = self.files[self.of_file[place]]
        return _bytes_of(path, int(self.offsets[place]), int(self.sizes[place]))

    def facts(self) -> Iterator[str]:
        for place in range(len(self)):
            yield f"{self.name(place)}\0{self.sizes[place]}"


@dataclass(frozen=True)
class SomePictures:
    """The pictures at some places of others, with labels and classes of their own."""

    all: EncodedPictures
    places: NDArray[np.int64]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.places)

    def name(self, place: int) -> str:
        return self.all.name(int(self.places[place]))

    def read(self, place: int) -> bytes:
        return self.all.read(int(self.places[place]))

    def facts(self) -> Iterator[str]:
        yield from self.all.facts()
        yield str(self.classes)


def only(pictures: EncodedPictures, chosen: tuple[str, ...]) -> SomePictures:
    """The pictures of the `chosen` classes, in their order; label i is the i-th chosen class."""
    renumbered = np.full(len(pictures.classes), UNLABELLED)
    renumbered[[pictures.classes.index(name) for name in chosen]] = range(len(chosen))
    labels = renumbered[pictures.labels]
    (places,) = (labels >= 0).nonzero()
    return SomePictures(pictures, places, labels[places], chosen)


def in_folder(folder: Path) -> FolderPictures:
    """The pictures below a folder; the class of one that lies in a subfolder is this subfolder.

    Only a tree whose pictures all lie in the folders of classes has classes.

    Raises:
        DataError: there is no picture, or a folder cannot be read.
    """
    found = sorted(_below(folder))
    if not found:
        raise DataError(
            f"{folder} holds no images ({', '.join(SUFFIXES)}).", Advice("give a folder of images")
        )
    paths, sizes = [path for path, _ in found], [size for _, size in found]
    parts = [Path(path).parts for path in paths]
    labels = np.full(len(paths), UNLABELLED)
    classes: tuple[str, ...] = ()
    if all(len(part) == 2 for part in parts):
        numbers, classes = numbered_folders(sorted({part[0] for part in parts}), str(folder))
        labels = np.array([numbers[part[0]] for part in parts])
    return FolderPictures(folder, paths, sizes, labels, classes)


def one_picture(path: Path) -> FolderPictures:
    """A single picture.

    Raises:
        DataError: there is no such file.
    """
    size = regular_file(path)
    return FolderPictures(path.parent, [path.name], [size], np.full(1, UNLABELLED), ())


def has_pictures(folder: Path) -> bool:
    """Whether a picture lies in the folder or below it."""
    return any(True for _ in _below(folder))


def _below(folder: Path) -> Iterator[tuple[str, int]]:
    """The path of each picture below the folder, and its size in bytes."""
    waiting, seen = [folder], set()
    while waiting:
        here = waiting.pop()
        try:
            facts = here.stat()
            if (facts.st_dev, facts.st_ino) in seen:  # a link to a folder above
                continue
            seen.add((facts.st_dev, facts.st_ino))
            with os.scandir(here) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or entry.name.casefold() in LEFT_BEHIND:
                        continue
                    if entry.is_dir():
                        waiting.append(here / entry.name)
                    elif Path(entry.name).suffix.lower() in SUFFIXES:
                        path = os.path.relpath(entry.path, folder)
                        yield path, entry.stat().st_size
        except OSError as error:
            raise DataError(
                f"{error.filename or here} cannot be read ({error.strerror}).",
                Advice("check its permissions"),
            ) from error


def in_tars(files: Sequence[Path]) -> TarPictures:
    """The pictures of TAR files. A `KEY.cls` beside `KEY.jpg` holds its class, a whole number.

    Raises:
        DataError: a file is none, is compressed or damaged, or there is no picture.
    """
    of_file, offsets, sizes, names, keys = [], [], [], [], []
    numbers: dict[tuple[int, str], int] = {}
    for number, path in enumerate(files):
        regular_file(path)
        _must_be_plain(path)
        try:
            with tarfile.open(path, "r:") as tar:
                for member in tar:
                    tar.members = []  # type: ignore[attr-defined]  # else every header stays in memory
                    inside = PurePosixPath(member.name)
                    if not member.isreg() or member.issparse() or inside.name.startswith("."):
                        continue
                    key = (number, str(inside.with_name(inside.name.partition(".")[0])))
                    suffix = inside.suffix.lower()
                    if suffix in SUFFIXES:
                        of_file.append(number)
                        offsets.append(member.offset_data)
                        sizes.append(member.size)
                        names.append(member.name)
                        keys.append(key)
                    elif suffix == _CLASS_SUFFIX and member.size <= _CLASS_DIGITS:
                        text = _bytes_of(path, member.offset_data, member.size).strip()
                        if text.isdigit():
                            numbers[key] = int(text)
        except (tarfile.TarError, OSError, ValueError) as error:
            raise DataError(
                f"{path} cannot be read ({first_line(error)}).", Advice("get the file again")
            ) from error
    if not names:
        raise DataError(
            f"{files[0]} holds no images ({', '.join(SUFFIXES)}).", Advice("give a TAR of images")
        )
    whole = all(key in numbers for key in keys)
    labels = [numbers[key] for key in keys] if whole else [UNLABELLED] * len(keys)
    return TarPictures(
        tuple(files), np.array(of_file), np.array(offsets), np.array(sizes), names,
        np.array(labels),
    )  # fmt: skip


def _must_be_plain(path: Path) -> None:
    with path.open("rb") as stream:
        kind = _COMPRESSED.get(stream.read(2))
    if kind:
        raise DataError(
            f"{path} is compressed ({kind}), and pictures are read from their places in the file.",
            Advice("unpack it, or save it as a TAR without compression: pictures are compressed"),
        )


def _bytes_of(path: Path, offset: int = 0, size: int = -1) -> bytes:
    try:
        with path.open("rb", buffering=0) as stream:
            stream.seek(offset)
            content = stream.read(size)
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}).", Advice("restore the file")
        ) from error
    assert content is not None  # the file blocks
    if size >= 0 and len(content) != size:
        raise DataError(f"{path} is truncated.", Advice("get the file again"))
    return content
