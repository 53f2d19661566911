"""Load a data set by name: search, read or download, check, select a subset, fit to a shape."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from clonecost.data import embedded, parquet, user_files
from clonecost.data.catalogue import DATASETS, DatasetCard, Split
from clonecost.data.fetch import fetch
from clonecost.data.fitting import fit
from clonecost.data.locations import VARIABLE, cache_folder, named_folders, search_folders
from clonecost.data.on_demand import PAINTED, all_painted, on_demand, painted, pooled
from clonecost.data.picture_pool import is_pool
from clonecost.data.pictures import Background
from clonecost.data.sources import SOURCES, Source
from clonecost.data.subsets import members, only
from clonecost.errors import Advice, ChooseFrom, DataError, SetKey, SpecError, suggest
from clonecost.persistence.file_limits import at_home
from clonecost.types import LabelledInputs, Progress, ProxyData, Shape, no_progress

EMBEDDED: dict[str, Callable[[Split], LabelledInputs]] = {
    "digits": embedded.digits,
    "photos": lambda split: all_painted("photos", split),
    "shapes": lambda split: all_painted("shapes", split),
}


def load(
    name: str,
    split: Split,
    *,
    root: Path | None = None,
    shape: Shape | None = None,
    progress: Progress = no_progress,
    download: bool = True,
    background: Background | None = None,
) -> LabelledInputs:
    """A data set as uint8 (n, C, H, W) pixels 0..255 with int64 labels.

    Files are searched in `root` (else in the folders of the environment variable CLONECOST_DATA),
    then in /usr/share/datasets, then in the user's cache folder. Files that are in none of them are
    downloaded to the cache folder.

    Args:
        name: one of `DATASETS`, or the path of a user's own data (`clonecost.data.user_files`). It
            may be followed by `:SUBSET`: names of classes separated by commas, or for cifar100 the
            published proxies `90`, `40`, `10` and `6`. The labels of a subset are renumbered in the
            order of its names.
        split: "train" or "test".
        root: the first folder of the search.
        shape: (C, H, W) to which the images are fitted; None: as published.
        progress: counts bytes of a download and images while decoding.
        download: False: never download.
        background: what is seen behind the transparent pixels of a user's own pictures.

    Raises:
        SpecError: an unknown data set, split, subset or class.
        DataError: the files are missing or damaged, or do not fit `shape`.

    Example:
        >>> digits = load("digits", "test", shape=(1, 16, 16))
        >>> digits.inputs.shape, digits.inputs.dtype
        (torch.Size([539, 1, 16, 16]), torch.uint8)
    """
    if shape and name in PAINTED and split in ("train", "test"):
        return painted(name, split, shape).to("cpu")
    data = _as_stored(name, split, root, shape, progress, download, background)
    return fit(data, shape) if shape else data


def load_proxy(
    name: str,
    *,
    shape: Shape | None,
    root: Path | None = None,
    progress: Progress = no_progress,
    download: bool = True,
    background: Background | None = None,
) -> ProxyData:
    """The train split of a data set as an attacker's proxy data: the same rows as of `load`.

    Rows are painted or fitted to `shape` when they are asked for, where that saves memory or time.
    The pictures of a folder, a TAR or a Parquet file stay on disk (`clonecost.data.picture_pool`).

    Raises:
        SpecError, DataError: as `load`.

    Example:
        >>> load_proxy("photos", shape=(3, 224, 224)).rows(torch.tensor([7, 3])).shape
        torch.Size([2, 3, 224, 224])
    """
    if name in PAINTED:
        return painted(name, "train", shape)
    if shape and name.partition(":")[0] not in DATASETS:
        path, subset = _own_path(name)
        if is_pool(path):
            return pooled(path, name, shape, background, subset)
    data = _as_stored(name, "train", root, shape, progress, download, background)
    return on_demand(data, shape) if shape else data


def _as_stored(
    name: str, split: Split, root: Path | None, shape: Shape | None, progress: Progress,
    download: bool, background: Background | None,
) -> LabelledInputs:  # fmt: skip
    """The data set before it is fitted; pictures are decoded to `shape` at once."""
    if split not in ("train", "test"):
        raise SpecError(suggest("split", split, ["train", "test"]), SetKey("split"))
    base, _, subset = name.partition(":")
    if base in DATASETS:
        # before anything is read, so that a typo causes no download
        chosen = members(base, subset, DATASETS[base].classes) if subset else ()
        data = _published(base, split, root, progress, download)
    else:
        path, subset = _own_path(name)
        data = user_files.read(path, split, shape, progress, background)
        chosen = members(str(path), subset, data.classes) if subset else ()
    return replace(only(data, chosen) if chosen else data, name=name)


def _own_path(name: str) -> tuple[Path, str]:
    """The path and the subset of a user's own data; the whole name may be a path."""
    path = at_home(name)
    if name and path.exists():
        return path, ""
    head, _, subset = name.rpartition(":")
    if head and at_home(head).exists():
        return at_home(head), subset
    if not path.suffix and not {os.sep, os.altsep} & set(name):
        known = list(DATASETS)
        raise SpecError(suggest("data set", name.partition(":")[0], known), ChooseFrom("datasets"))
    return path, ""  # it looks like a path; the reader raises the error


def _published(
    name: str, split: Split, root: Path | None, progress: Progress, download: bool
) -> LabelledInputs:
    card = DATASETS[name]
    if name in EMBEDDED:
        data = EMBEDDED[name](split)
    else:
        source = SOURCES[name]
        searched = search_folders(root)
        found = _local(source, card, split, searched, progress)
        if found is None:
            _download(name, split, searched, progress, download)
            found = _local(source, card, split, [cache_folder()], progress)
        if found is None:  # another process deleted the files meanwhile
            raise DataError(
                f"{name} was downloaded to {cache_folder() / name} and is missing.",
                Advice("try again"),
            )
        data = found
    _check(name, data, card)
    return replace(data, classes=card.classes)


def _local(
    source: Source, card: DatasetCard, split: Split, searched: list[Path], progress: Progress
) -> LabelledInputs | None:
    """The first copy on this machine, in the official format or as Parquet."""
    for parent in searched:
        for folder in _candidates(source, parent):
            if paths := source.find(folder, split):
                return source.read(paths, split)
        for folder in named_folders(parent, source.folders):
            if paths := parquet.find(folder, split):
                return parquet.read(paths, card.shape, progress)
    return None


def _candidates(source: Source, parent: Path) -> list[Path]:
    """The folders that may hold official files, by their name or by a file that identifies them."""
    named = named_folders(parent, source.folders)
    return [parent, *named] if any((parent / file).is_file() for file in source.loose) else named


def _download(
    name: str, split: Split, searched: list[Path], progress: Progress, download: bool
) -> None:
    """Fetch the official files of a split into the cache folder.

    Raises:
        DataError: the download failed or is switched off.
    """
    source, target = SOURCES[name], cache_folder() / name
    files = source.downloads[split]
    why = "downloading is switched off"
    try:
        if download:
            for file in files:
                fetch(file.url, target / file.file, md5=file.md5, progress=progress)
            return
    except DataError as error:
        why = error.fact
    other: Split = "test" if split == "train" else "train"
    names = " and ".join(file.file for file in files)
    raise DataError(
        f"{name} ({split}) is in none of {', '.join(map(str, searched))}"
        f"{_found_instead(source, other, searched)}, and {why}.",
        Advice(f"put {names} into {target}"),
        SetKey("data"),
        Advice(f"set the environment variable {VARIABLE} to the folder of the data sets"),
        *([Advice(source.remedy)] if source.remedy else []),
    )


def _found_instead(source: Source, other: Split, searched: list[Path]) -> str:
    """Files of the other split, or a pickle, in the folders that were searched; for the error."""
    for parent in searched:
        for folder in _candidates(source, parent):
            if source.find(folder, other) or parquet.find(folder, other):
                return f" ({folder} holds only {other})"
        for file in source.refused:
            if (parent / file).exists():
                return f" ({parent / file} is a pickle, which is never opened)"
    return ""


def _check(name: str, data: LabelledInputs, card: DatasetCard) -> None:
    """Refuse files of another data set under this one's name.

    Raises:
        DataError: other images or labels than in the card.
    """
    other = Advice("the files are of another data set, get the right ones")
    if data.shape != card.shape:
        raise DataError(
            f"The files of {name} hold other images", other, got=data.shape, want=card.shape
        )
    if not len(data):
        raise DataError(f"The files of {name} hold no images", other)
    low, high = (int(value) for value in data.labels.aminmax())
    if low < 0 or high >= card.num_classes:
        raise DataError(
            f"The files of {name} hold other labels", other,
            got=f"{low}..{high}", want=f"0..{card.num_classes - 1}",
        )  # fmt: skip
