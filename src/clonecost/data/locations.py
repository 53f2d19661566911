"""Where data sets may lie on this machine, in the order in which they are looked for."""

import os
from pathlib import Path

from clonecost.errors import DataError
from clonecost.persistence.disk import cache_root

VARIABLE = "CLONECOST_DATA"
SYSTEM = Path("/usr/share/datasets")  # Debian's dataset-* packages


def cache_folder() -> Path:
    """Downloads and decoded copies; it may not exist yet."""
    return cache_root() / "data"


def places(root: Path | None) -> list[Path]:
    """The data folders to search: `root` or else CLONECOST_DATA, the system's, the user's cache.

    Raises:
        DataError: `root` was given and is no folder.
    """
    if root is not None and not root.expanduser().is_dir():
        raise DataError(f"the data folder {root} does not exist; create it or name another one")
    own = [str(root)] if root is not None else os.environ.get(VARIABLE, "").split(os.pathsep)
    named = [Path(part).expanduser() for part in own if part]
    return list(dict.fromkeys([*named, SYSTEM, cache_folder()]))


def folders(place: Path, aliases: tuple[str, ...]) -> list[Path]:
    """The folders under `place` that bear one of the data set's names, `place` itself included.

    `place` counts only when it is called so itself: MNIST and Fashion-MNIST have the same file
    names, and one must not be read as the other.
    """
    inside = [place / alias for alias in aliases]
    if any(place.resolve().match(alias) for alias in aliases):
        inside.insert(0, place)
    return [folder for folder in inside if folder.is_dir()]
