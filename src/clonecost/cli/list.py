"""Names to choose from, for `list` and for shell completion. Imports no torch."""

from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from clonecost.errors import Advice, ChooseFrom, Listed, SpecError, suggest
from clonecost.registry import KINDS, Parts, mappings
from clonecost.registry import names as every_name

WHITE_BOX = "White box: a reference, not an attack through the API; needs --access white-box."
# How a setting of a part is written on the command line.
FLAGS = {
    "attacks": "--set {name}.SETTING=VALUE",
    "defences": "--defence {name}:SETTING=VALUE",
    "countermeasures": "--counter {name}:SETTING=VALUE",
}


def names(kind: Listed) -> Callable[[str], list[str]]:
    """Shell completion of the names of one kind: a function from a prefix to the names."""

    def complete(prefix: str) -> list[str]:
        return [name for name in every_name(kind) if name.startswith(prefix)]

    return complete


def check_kind(kind: str) -> Listed:
    """The kind, if there is a list of it.

    Raises:
        SpecError: there is no such list.
    """
    if kind not in KINDS:
        raise SpecError(suggest("list", kind, KINDS), Advice("choose one of them"))
    return kind


def table(kind: Listed) -> RenderableType:
    """The names of one kind with one line each, for the terminal."""
    rows = _grid([(f"[bold]{name}[/bold]", line) for name, line in summaries(kind).items()])
    return rows if rows.row_count else f"There are no {kind} yet."


def summaries(kind: Listed) -> dict[str, str]:
    """The names of one kind with one line each."""
    return {name: _summary(mapping, name) for mapping in mappings(kind) for name in mapping}


def details(kind: Listed, name: str) -> RenderableType:
    """One part for the terminal: its summary, declaration, settings and profiles.

    Raises:
        SpecError: the name is not in the list.
    """
    for mapping in mappings(kind):
        if name in mapping:
            break
    else:
        raise SpecError(suggest(kind.removesuffix("s"), name, every_name(kind)), ChooseFrom(kind))
    if not isinstance(mapping, Parts):
        return f"{name}: {_summary(mapping, name)}"
    source = mapping.source(name)
    declared = [
        (setting.name, _worded(source.declared.get(setting.name, setting.default)), setting.meaning)
        for setting in mapping.base("Declaration")
    ]
    settings = [(s.name, s.default, s.meaning) for s in source.settings]
    flag = FLAGS.get(kind, "").format(name=name)
    parts: list[RenderableType] = [
        f"[bold]{name}[/bold]: {escape(source.summary)}",
        "\n[bold]Declaration[/bold]", _grid(declared),
        f"\n[bold]Settings[/bold] {flag}", _grid(settings),
    ]  # fmt: skip
    if source.profiles:
        parts.append("\n[bold]Profiles[/bold] " + ", ".join(f"{name}:{p}" for p in source.profiles))
    return Group(*parts)


def _summary(mapping: Any, name: str) -> str:
    if not isinstance(mapping, Parts):
        return str(mapping[name].summary)
    source = mapping.source(name)
    if mapping.kind != "attacks":
        return source.summary
    needs = WHITE_BOX if source.declared.get("white_box") else f"Needs {source.declared['needs']}."
    profiles = ", ".join(f"{name}:{profile}" for profile in source.profiles)
    return f"{source.summary} {needs} Profiles: {profiles or 'none'}."


def _grid(rows: Sequence[tuple[str, ...]]) -> Table:
    grid = Table(show_header=False, box=None, pad_edge=False)
    for first, *others in rows:
        grid.add_row(first, *map(escape, others))
    return grid


def _worded(value: object) -> str:
    """A declared value without quotes and brackets."""
    if isinstance(value, bool) or value in ("True", "False"):
        return "yes" if str(value) == "True" else "no"
    if isinstance(value, tuple) or value == "()":
        return ", ".join(value) if isinstance(value, tuple) else "nothing"
    return str(value).strip('"')
