"""The folders of this machine that may hold data sets, in the order of the search."""

import os
from pathlib import Path

from clonecost.errors import Advice, DataError, SetKey
from clonecost.persistence.disk import cache_root
from clonecost.persistence.file_limits import at_home

VARIABLE = "CLONECOST_DATA"
SYSTEM = Path("/usr/share/datasets")  # Debian's dataset-* packages


def cache_folder() -> Path:
    """The folder of downloads and decoded copies; it may not exist yet."""
    return cache_root() / "data"


def search_folders(root: Path | None) -> list[Path]:
    """The data folders to search: `root` or else CLONECOST_DATA, the system's, the user's cache.

    Raises:
        DataError: `root` is given and is no folder.
    """
    if root is not None and not at_home(root).is_dir():
        raise DataError(
            f"The data folder {root} does not exist.", Advice("create it"), SetKey("data")
        )
    own = [str(root)] if root is not None else os.environ.get(VARIABLE, "").split(os.pathsep)
    named = [at_home(part) for part in own if part]
    return list(dict.fromkeys([*named, SYSTEM, cache_folder()]))


def named_folders(parent: Path, aliases: tuple[str, ...]) -> list[Path]:
    """The existing folders in `parent` with one of the data set's names, or `parent` itself.

    `parent` is included only if it has one of the names: MNIST and Fashion-MNIST have the same file
    names, and one must not be read as the other.
    """
    candidates = [parent / alias for alias in aliases]
    if any(parent.resolve().match(alias) for alias in aliases):
        candidates.insert(0, parent)
    return [folder for folder in candidates if folder.is_dir()]
