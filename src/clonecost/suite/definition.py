"""A suite as it is written down: TOML -> checked rows, columns and scales -> one spec a cell."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from clonecost.config import Scalar, Spec, make_spec, read_toml
from clonecost.errors import SpecError, suggest

OF_A_SPEC = tuple(key for key in Spec.model_fields if key not in ("set", "seed"))
Seeds = Annotated[list[Annotated[int, Field(ge=0, lt=2**63)]], Field(min_length=1)]
Number = float | Annotated[list[float], Field(min_length=2, max_length=2)]  # or [value, +-]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")]  # it names a folder


class Keys(BaseModel):
    """Any keys of a spec, which later layers override; `not_run = ""` takes a reason back."""

    model_config = ConfigDict(extra="allow", frozen=True)

    not_run: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _known(cls, written: Any) -> Any:
        """First of all: a key that is missing is most often one that is misspelt."""
        known = [*cls.model_fields, *OF_A_SPEC]
        for key in written if isinstance(written, dict) else []:
            if key not in known:
                raise ValueError(suggest("key", key, known))
        return written


class Settings(Keys):
    settings: dict[str, Scalar | list[float]] = {}  # of the attack that stands when they are read


class Column(Settings):
    """One victim and student."""

    name: Name
    title: str


class Row(Settings):
    """One way to attack; or the victim itself, with its accuracy."""

    name: Name
    title: str
    ours: bool = False
    white_box: bool = False  # access = "white-box", budget = 0: it asks nothing
    teacher: bool = False
    columns: list[str] | None = None  # it makes sense in these only
    paper: dict[str, Number] = {}  # column -> accuracy in percent, as the paper prints it
    source: str | None = None  # of these numbers, when it is not the suite's


class Scale(Keys):
    """What a size of machine changes: everywhere, in a column, in a row, in a cell of them."""

    title: str
    note: str = ""
    seeds: Seeds | None = None
    column: dict[str, Keys] = {}
    row: dict[str, Settings] = {}
    cell: dict[str, dict[str, Settings]] = {}  # column -> row


class Suite(Keys):
    """The file. Keys of a spec at its top are shared by all cells."""

    title: str
    note: str = ""
    source: str = ""  # of the papers' numbers
    seeds: Seeds = [0, 1, 2]
    column: list[Column] = Field(min_length=1)
    row: list[Row] = Field(min_length=1)
    scale: dict[Name, Scale] = Field(min_length=1)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One audit with all its seeds, or why there is none."""

    column: Column
    row: Row
    spec: Spec | None  # None for the victim's own row, and for an attack that is not there yet
    not_run: str | None


def read_suite(path: Path) -> Suite:
    """Read a suite and check every cell of every scale.

    Raises:
        SpecError: the file is missing, no TOML, or has an unknown key, name or value.
    """
    suite = _checked(Suite, read_toml(path), str(path))
    columns, rows = _names(suite.column, path), _names(suite.row, path)
    for row in suite.row:
        _all_known(f"{path}: column in the paper's numbers of {row.name}", row.paper, columns)
        _all_known(f"{path}: column of the row {row.name}", row.columns or [], columns)
    for name, scale in suite.scale.items():
        _all_known(f"{path}: column of the scale {name}", [*scale.column, *scale.cell], columns)
        inside = [row for of_column in scale.cell.values() for row in of_column]
        _all_known(f"{path}: row of the scale {name}", [*scale.row, *inside], rows)
        cells(suite, name)
    return suite


def cells(suite: Suite, scale: str, seeds: Sequence[int] | None = None) -> list[Cell]:
    """Every cell at that scale, row by row.

    Raises:
        SpecError: a cell is no audit; the sentence says which and why.
    """
    chosen = scale_of(suite, scale)
    wanted = list(seeds or chosen.seeds or suite.seeds)
    return [
        _cell(suite, chosen, column, row, wanted)
        for row in suite.row
        for column in suite.column
        if row.columns is None or column.name in row.columns
    ]


def scale_of(suite: Suite, name: str) -> Scale:
    if name not in suite.scale:
        raise SpecError(suggest("scale", name, list(suite.scale)))
    return suite.scale[name]


def _cell(suite: Suite, scale: Scale, column: Column, row: Row, seeds: list[int]) -> Cell:
    if row.teacher:
        return Cell(column=column, row=row, spec=None, not_run=None)
    nothing = Settings()
    layers = [
        suite, column, row, scale,
        scale.column.get(column.name, nothing), scale.row.get(row.name, nothing),
        scale.cell.get(column.name, {}).get(row.name, nothing),
    ]  # fmt: skip
    values: dict[str, Any] = {"keep": "none"}  # a table needs no replay
    settings: dict[str, Any] = {}
    reasons: list[str] = []
    for layer in layers:
        before = _name(values.get("attack"))
        values |= layer.model_extra or {}
        if _name(values.get("attack")) != before:
            settings = {}  # they were another attack's
        settings |= getattr(layer, "settings", {})
        reasons += [] if layer.not_run is None else [layer.not_run]
    where = f"column {column.name}, row {row.name}"
    attack = values.pop("attack", None)
    if attack is None and any(reasons):  # a scale can neither take that back nor explain it better
        why = row.not_run or next(reason for reason in reversed(reasons) if reason)
        return Cell(column=column, row=row, spec=None, not_run=why)
    if not isinstance(attack, str):
        raise SpecError(f"{where}: attack = {attack!r}: a cell is one attack, NAME or NAME:PROFILE")
    if values.get("access") == "white-box":  # the mark is what readers see
        raise SpecError(f"{where}: write white_box = true, which marks the row and opens the box")
    if row.white_box:
        values |= {"access": "white-box", "budget": 0, "milestones": []}
    own = {_name(attack): settings} if settings else {}
    spec = make_spec({**values, "attack": attack, "seed": seeds, "set": own}, where=where)
    return Cell(column=column, row=row, spec=spec, not_run=reasons[-1] or None if reasons else None)


def _name(attack: object) -> str:
    """NAME of NAME:PROFILE."""
    return str(attack).partition(":")[0]


Part = TypeVar("Part", bound=BaseModel)


def _checked(kind: type[Part], written: dict[str, Any], where: str) -> Part:
    try:
        return kind.model_validate(written)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        said = first["msg"].removeprefix("Value error, ")
        if first["type"] == "missing":
            said = "this key is needed"
        raise SpecError(f"{where}: {key + ': ' if key else ''}{said}") from error


def _names(parts: Sequence[Column] | Sequence[Row], path: Path) -> list[str]:
    names = [part.name for part in parts]
    for name in names:
        if names.count(name) > 1:
            raise SpecError(f"{path}: the name {name!r} is given twice")
    return names


def _all_known(what: str, names: Sequence[str] | dict[str, Number], known: list[str]) -> None:
    for name in names:
        if name not in known:
            raise SpecError(suggest(what, name, known))
