"""A folder of pictures: a subfolder for each class, or pictures without labels."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from clonecost.data.catalogue import Split
from clonecost.data.class_names import is_index, numbered_folders
from clonecost.data.fitting import fit
from clonecost.data.pictures import LEFT_BEHIND, OTHER_SUFFIXES, SUFFIXES, Background, decode
from clonecost.data.values import listed
from clonecost.errors import Advice, DataError, SetKey
from clonecost.persistence.file_limits import must_fit_memory, regular_file
from clonecost.types import LabelledInputs, Progress, Shape


@dataclass(frozen=True)
class _Listing:
    """The visible pictures and subfolders of one folder, sorted."""

    pictures: tuple[Path, ...]
    folders: tuple[Path, ...]


def read_folder(
    path: Path, split: Split, shape: Shape | None, background: Background | None,
    progress: Progress,
) -> LabelledInputs:  # fmt: skip
    """The pictures as (n, C, H, W) uint8; labels of -1 where there are no class folders.

    Memory holds n x C x H x W bytes and one picture as stored: each is fitted to `shape` as it is
    read.

    Raises:
        DataError: no pictures, an unclear tree, a picture that cannot be read, different sizes
            without a `shape`, or more than the memory holds.
    """
    splits = [path / "train", path / "test"]
    chosen = path / split if all(part.is_dir() for part in splits) else path
    listing = _list(chosen)
    names = _class_folders(listing)
    classes = _class_folders(_list(splits[0])) if chosen == splits[1] else {}
    if not names and not listing.pictures:
        raise DataError(
            f"{chosen} holds no images ({', '.join(SUFFIXES)}).",
            Advice("make a subfolder of images for each class"),
        )
    if not names:
        return _read([(file, -1) for file in listing.pictures], (), chosen, shape, background,
                     progress)  # fmt: skip
    if listing.pictures:
        raise DataError(
            f"{chosen} has pictures beside its class folders, such as {listing.pictures[0].name}.",
            Advice("move them into the folders of their classes, or elsewhere"),
        )
    labels, label_names = numbered_folders(_joined(list(names), list(classes), path), str(path))
    files = [
        (file, label) for name, label in labels.items() if name in names for file in names[name]
    ]
    return _read(files, label_names, chosen, shape, background, progress)


def _joined(names: Sequence[str], classes: Sequence[str], path: Path) -> Sequence[str]:
    """The class folders of both splits; those of `train` have the order where they are words."""
    unknown = [name for name in names if name not in classes]
    if classes and unknown and not all(map(is_index, [*names, *classes])):
        raise DataError(
            f"{path / 'test'} has classes that {path / 'train'} does not have: {listed(unknown)}. "
            f"The classes there are {listed(classes)}.",
            Advice("give the folders of both the same names"),
        )
    return [*classes, *unknown]


def _class_folders(listing: _Listing) -> dict[str, tuple[Path, ...]]:
    """The names of the subfolders with pictures, and these.

    Raises:
        DataError: pictures lie deeper than in the folder of a class.
    """
    found = {}
    for part in listing.folders:
        inside = _list(part)
        if inside.pictures:
            found[part.name] = inside.pictures
        deep = [below for below in inside.folders if _list(below).pictures]
        if deep:
            raise DataError(
                f"{deep[0]} holds pictures deeper than the folder of a class.",
                Advice("put the pictures of a class directly into its folder"),
            )
    return found


def _list(folder: Path) -> _Listing:
    """What is in a folder, without the leftovers of operating systems.

    Raises:
        DataError: the folder cannot be read, or a picture is in a format that is not read here.
    """
    pictures, folders = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name.casefold() in LEFT_BEHIND:
                    continue
                suffix = Path(entry.name).suffix.lower()
                if entry.is_dir():
                    folders.append(folder / entry.name)
                elif suffix in SUFFIXES:
                    pictures.append(folder / entry.name)
                elif suffix in OTHER_SUFFIXES:
                    raise DataError(
                        f"{folder / entry.name} is a picture in a format that is not read here.",
                        Advice(f"save it as one of {', '.join(SUFFIXES)}"),
                    )
    except OSError as error:
        raise DataError(
            f"{folder} cannot be read ({error.strerror}).", Advice("check its permissions")
        ) from error
    return _Listing(tuple(sorted(pictures)), tuple(sorted(folders)))


def _read(
    files: Sequence[tuple[Path, int]], classes: tuple[str, ...], folder: Path,
    shape: Shape | None, background: Background | None, progress: Progress,
) -> LabelledInputs:  # fmt: skip
    pixels: Tensor | None = None
    for place, (path, _) in enumerate(files):
        picture = _picture(path, shape, background)
        if pixels is None:
            _must_fit(len(files), tuple(picture.shape), folder)
            pixels = torch.empty((len(files), *picture.shape), dtype=torch.uint8)
        elif len(picture) > pixels.shape[1]:  # the first in colour
            _must_fit(len(files), (3, *pixels.shape[2:]), folder)
            pixels = pixels.expand(-1, 3, -1, -1).contiguous()
        if picture.shape[1:] != pixels.shape[2:]:
            raise DataError(f"{folder} has images of different sizes.", SetKey("shape"))
        pixels[place] = picture
        progress(f"reading {folder.name}", place + 1, len(files))
    assert pixels is not None  # the caller has found pictures
    return LabelledInputs(pixels, torch.tensor([label for _, label in files]), classes)


def _must_fit(rows: int, shape: Shape, folder: Path) -> None:
    channels, height, width = shape
    must_fit_memory(
        f"{folder} with {rows:,} pictures of {width} x {height} pixels",
        rows * channels * height * width, SetKey("shape"),
    )  # fmt: skip


def _picture(path: Path, shape: Shape | None, background: Background | None) -> Tensor:
    """(C, H, W) uint8: `shape`, or as stored with 1 (grey) or 3 channels."""
    regular_file(path)
    picture = decode(path, str(path), background)
    if shape is None:
        return picture
    return fit(LabelledInputs(picture[None], torch.tensor([0])), shape).inputs[0]
