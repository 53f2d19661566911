"""From a name to tensors: search, read or download, check, cut to a subset, fit to a shape."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from clonecost.data import embedded, parquet, synthetic_shapes, user_files
from clonecost.data.catalogue import DATASETS, DatasetCard, Split
from clonecost.data.fetch import fetch
from clonecost.data.fitting import fit
from clonecost.data.locations import VARIABLE, cache_folder, folders, places
from clonecost.data.sources import SOURCES, Source
from clonecost.data.subsets import members, only
from clonecost.errors import DataError, SpecError, suggest
from clonecost.types import LabelledInputs, Progress, Shape, no_progress

EMBEDDED: dict[str, Callable[[Split], LabelledInputs]] = {
    "digits": embedded.digits,
    "photos": embedded.photos,
    "shapes": synthetic_shapes.shapes,
}


def load(
    name: str,
    split: Split,
    *,
    root: Path | None = None,
    shape: Shape | None = None,
    progress: Progress = no_progress,
    download: bool = True,
) -> LabelledInputs:
    """A data set as uint8 (n, C, H, W) pixels 0..255 with int64 labels.

    `name` is one of `DATASETS` or the path of a user's own data (`clonecost.data.user_files`). It
    may be followed by `:SUBSET`: names of classes separated by commas, or for cifar100 the
    published proxies `90`, `40`, `10` and `6`. A subset's labels are renumbered in the order of its
    names.

    Files are looked for in `root` (else in the folders of the environment variable CLONECOST_DATA),
    then in /usr/share/datasets, then in the user's cache folder, into which they are downloaded
    otherwise, unless `download` is false. `shape` (C, H, W) fits the images to a victim. `progress`
    counts bytes while downloading and images while decoding.

    Raises:
        SpecError: an unknown data set, split, subset or class.
        DataError: nothing there, broken, or not to be fitted to `shape`.
    """
    if split not in ("train", "test"):
        raise SpecError(suggest("split", split, ["train", "test"]))
    base, _, subset = name.partition(":")
    if base in DATASETS:
        # Before anything is read, so that a typo costs no download.
        chosen = members(base, subset, DATASETS[base].classes) if subset else ()
        data = _published(base, split, root, progress, download)
    else:
        path, subset = _own_path(name)
        data = user_files.read(path, split, shape, progress)
        chosen = members(str(path), subset, data.classes) if subset else ()
    data = replace(only(data, chosen) if chosen else data, name=name)
    return fit(data, shape) if shape else data


def _own_path(name: str) -> tuple[Path, str]:
    """The path and the subset of a user's own data: the name as a whole may be a path, too."""
    path = Path(name).expanduser()
    if name and path.exists():
        return path, ""
    head, _, subset = name.rpartition(":")
    if head and Path(head).expanduser().exists():
        return Path(head).expanduser(), subset
    if not path.suffix and not {os.sep, os.altsep} & set(name):
        raise SpecError(suggest("data set", name.partition(":")[0], list(DATASETS)))
    return path, ""  # meant as a path: its reader says that nothing is there


def _published(
    name: str, split: Split, root: Path | None, progress: Progress, download: bool
) -> LabelledInputs:
    card = DATASETS[name]
    if name in EMBEDDED:
        data = EMBEDDED[name](split)
    else:
        source = SOURCES[name]
        searched = places(root)
        found = _local(source, card, split, searched, progress)
        if found is None:
            _download(name, split, searched, progress, download)
            found = _local(source, card, split, [cache_folder()], progress)
        if found is None:  # something took the files away under our hands
            raise DataError(f"{name} was downloaded to {cache_folder() / name} and is gone")
        data = found
    _check(name, data, card)
    return replace(data, classes=card.classes)


def _local(
    source: Source, card: DatasetCard, split: Split, searched: list[Path], progress: Progress
) -> LabelledInputs | None:
    """The first copy on this machine, in the official format or as Parquet."""
    for place in searched:
        for folder in _candidates(source, place):
            if paths := source.find(folder, split):
                return source.read(paths, split)
        for folder in folders(place, source.folders):
            if paths := parquet.find(folder, split):
                return parquet.read(paths, card.shape, progress)
    return None


def _candidates(source: Source, place: Path) -> list[Path]:
    """The folders that may hold official files: named so, or known by a file only it has."""
    named = folders(place, source.folders)
    return [place, *named] if any((place / file).is_file() for file in source.loose) else named


def _download(
    name: str, split: Split, searched: list[Path], progress: Progress, download: bool
) -> None:
    """Fetch the official files of a split into the cache folder.

    Raises:
        DataError: not possible; the sentence says what was looked for and what to do.
    """
    source, target = SOURCES[name], cache_folder() / name
    wanted = source.downloads[split]
    why = "downloading is switched off"
    try:
        if download:
            for file in wanted:
                fetch(file.url, target / file.file, md5=file.md5, progress=progress)
            return
    except DataError as error:
        why = str(error)
    other: Split = "test" if split == "train" else "train"
    remedy = f", or {source.remedy}" if source.remedy else ""
    raise DataError(
        f"{name} ({split}) is in none of {', '.join(map(str, searched))}"
        f"{_found_instead(source, other, searched)}, and {why}: put "
        f"{' and '.join(file.file for file in wanted)} into {target}, or name the folder that "
        f"holds it with --data or {VARIABLE}{remedy}"
    )


def _found_instead(source: Source, other: Split, searched: list[Path]) -> str:
    """What lies there but does not help, as part of a sentence."""
    for place in searched:
        for folder in _candidates(source, place):
            if source.find(folder, other) or parquet.find(folder, other):
                return f" ({folder} holds only {other})"
        for file in source.refused:
            if (place / file).exists():
                return f" ({place / file} is a pickle, which is never opened)"
    return ""


def _check(name: str, data: LabelledInputs, card: DatasetCard) -> None:
    """Files of another data set under this one's name are refused, not learnt from."""
    if data.shape != card.shape:
        raise DataError(f"the files of {name} hold images {data.shape}; want {card.shape}")
    low, high = (int(value) for value in data.labels.aminmax())
    if low < 0 or high >= card.num_classes:
        raise DataError(
            f"the files of {name} hold labels {low}..{high}; want 0..{card.num_classes - 1}"
        )
