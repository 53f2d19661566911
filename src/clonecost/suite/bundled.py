"""Where the suites are that come with clonecost: in a checkout's `suites/`, or in the wheel."""

from pathlib import Path

from clonecost.errors import SpecError, suggest


def shipped() -> dict[str, Path]:
    """The suites that come with clonecost, by name."""
    inside = Path(__file__).with_name("shipped")  # where the wheel has them
    folder = inside if inside.is_dir() else Path(__file__).parents[3] / "suites"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


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
    return known[name]
