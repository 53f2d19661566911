"""The suites that come with clonecost: in a checkout's `suites/`, or in the wheel."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from clonecost.errors import Advice, SpecError, suggest


@dataclass(frozen=True)
class BundledSuite:
    """A suite file that comes with clonecost."""

    path: Path

    @property
    def summary(self) -> str:
        """The title of the suite, one line."""
        return str(tomllib.loads(self.path.read_text(encoding="utf-8"))["title"])


def shipped() -> dict[str, BundledSuite]:
    """The suites that come with clonecost, by name."""
    in_wheel = Path(__file__).with_name("shipped")
    folder = in_wheel if in_wheel.is_dir() else Path(__file__).parents[3] / "suites"
    return {path.stem: BundledSuite(path) for path in sorted(folder.glob("*.toml"))}


def find(name: str) -> Path:
    """The file of a suite: `name` itself if it ends in .toml, else the shipped suite of that name.

    Raises:
        SpecError: there is no such suite.
    """
    if name.endswith(".toml"):
        return Path(name)
    known = shipped()
    if name not in known:
        raise SpecError(
            suggest("suite", name, list(known)), Advice("give a file of your own, FILE.toml")
        )
    return known[name].path
