"""Where the suites are that come with clonecost: in a checkout's `suites/`, or in the wheel."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from clonecost.errors import SpecError, suggest


@dataclass(frozen=True)
class BundledSuite:
    path: Path

    @property
    def summary(self) -> str:
        """One line for `clonecost list`."""
        return str(tomllib.loads(self.path.read_text(encoding="utf-8"))["title"])


def shipped() -> dict[str, BundledSuite]:
    """The suites that come with clonecost, by name."""
    inside = Path(__file__).with_name("shipped")  # where the wheel has them
    folder = inside if inside.is_dir() else Path(__file__).parents[3] / "suites"
    return {path.stem: BundledSuite(path) for path in sorted(folder.glob("*.toml"))}


def find(name: str) -> Path:
    """FILE.toml as it stands, else the shipped suite of that name.

    Raises:
        SpecError: there is none.
    """
    if name.endswith(".toml"):
        return Path(name)
    known = shipped()
    if name not in known:
        raise SpecError(suggest("suite", name, list(known)) + "; or give your own: FILE.toml")
    return known[name].path
