"""The definition of a suite: TOML -> checked rows, columns and scales -> one spec per cell."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from clonecost.config import Scalar, Spec, make_spec, read_toml
from clonecost.errors import Advice, DropKey, SetKey, SpecError, suggest

OF_A_SPEC = tuple(key for key in Spec.model_fields if key not in ("set", "seed"))
Seeds = Annotated[list[Annotated[int, Field(ge=0, lt=2**63)]], Field(min_length=1)]
Number = float | Annotated[list[float], Field(min_length=2, max_length=2)]  # or [value, +-]
Agreement = Literal["plain", "chance-corrected", "balanced"]  # what a table shows of it
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")]  # also the name of a folder


class Keys(BaseModel):
    """Any keys of a spec, which later layers override; `not_run = ""` removes a reason."""

    model_config = ConfigDict(extra="allow", frozen=True)

    not_run: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _known(cls, written: Any) -> Any:
        """Refuse unknown keys before missing ones: a missing key is often a misspelt one."""
        known = [*cls.model_fields, *OF_A_SPEC]
        for key in written if isinstance(written, dict) else []:
            if key not in known:
                raise ValueError(suggest("key", key, known))
        return written


class Settings(Keys):
    """Keys of a spec, and settings of the attack that the layers so far have chosen."""

    settings: dict[str, Scalar | list[float]] = {}


class Column(Settings):
    """One victim and student."""

    name: Name
    title: str


class Row(Settings):
    """One attack, or the victim itself with its accuracy."""

    name: Name
    title: str
    ours: bool = False
    white_box: bool = False  # access = "white-box", budget = 0: it sends no query
    teacher: bool = False
    columns: list[str] | None = None  # the columns in which the row has a cell; None: all
    paper: dict[str, Number] = {}  # column -> accuracy in percent, as the paper prints it
    source: str | None = None  # of these numbers, if it is not the suite's


class Scale(Keys):
    """The keys that a size of machine changes: everywhere, in a column, a row, or a cell."""

    title: str
    note: str = ""
    seeds: Seeds | None = None
    column: dict[str, Keys] = {}
    row: dict[str, Settings] = {}
    cell: dict[str, dict[str, Settings]] = {}  # column -> row


class Suite(Keys):
    """The suite's file. All cells share the keys of a spec at its top."""

    title: str
    note: str = ""
    source: str = ""  # of the papers' numbers
    seeds: Seeds = [0, 1, 2]
    # the agreements that the tables show
    agreement: Annotated[list[Agreement], Field(min_length=1)] = ["plain", "chance-corrected"]
    column: list[Column] = Field(min_length=1)
    row: list[Row] = Field(min_length=1)
    scale: dict[Name, Scale] = Field(min_length=1)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One audit with all its seeds, or the reason why there is none."""

    column: Column
    row: Row
    spec: Spec | None  # None for the victim's own row, and for an attack that does not exist yet
    not_run: str | None


def read_suite(path: Path) -> Suite:
    """Read a suite and check every cell of every scale.

    Raises:
        SpecError: the file is missing or not TOML, or a key, name or value is refused.
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

    Args:
        seeds: the seeds of every cell; None: those of the scale, else of the suite.

    Raises:
        SpecError: a cell is not a valid audit; the error names its column and row.
    """
    chosen = scale_of(suite, scale)
    run_seeds = list(seeds or chosen.seeds or suite.seeds)
    return [
        _cell(suite, chosen, column, row, run_seeds)
        for row in suite.row
        for column in suite.column
        if row.columns is None or column.name in row.columns
    ]


def scale_of(suite: Suite, name: str) -> Scale:
    """The scale of that name.

    Raises:
        SpecError: the suite has no such scale.
    """
    if name not in suite.scale:
        raise SpecError(suggest("scale", name, list(suite.scale)), SetKey("scale"))
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
    values: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    reasons: list[str] = []
    for layer in layers:
        before = _name(values.get("attack"))
        values |= layer.model_extra or {}
        if _name(values.get("attack")) != before:
            settings = {}  # they belong to another attack
        settings |= getattr(layer, "settings", {})
        reasons += [] if layer.not_run is None else [layer.not_run]
    where = f"column {column.name}, row {row.name}"
    attack = values.pop("attack", None)
    if attack is None and any(reasons):  # a scale can neither remove nor replace that reason
        why = row.not_run or next(reason for reason in reversed(reasons) if reason)
        return Cell(column=column, row=row, spec=None, not_run=why)
    if not isinstance(attack, str):
        raise SpecError(
            f"{where}: a cell needs one attack",
            SetKey("attack"), got=repr(attack), want="NAME or NAME:PROFILE",
        )  # fmt: skip
    if values.get("access") == "white-box":  # the row would lack its mark in the table
        raise SpecError(
            f"{where}: a white-box row is marked by white_box, not by access",
            Advice("write white_box = true in the row"), DropKey("access"),
        )  # fmt: skip
    if row.white_box:
        values |= {"access": "white-box", "budget": 0, "milestones": []}
    # a table needs no replay, but a training on all bought rows reads them
    values.setdefault("keep", "all" if values.get("retrain") else "none")
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
        if first["type"] == "missing":
            raise SpecError(
                f"{where}: the key {key!r} is missing", Advice("give the key a value")
            ) from error
        reason = first["msg"].removeprefix("Value error, ")
        raise SpecError(f"{where}: {key + ': ' if key else ''}{reason}") from error


def _names(parts: Sequence[Column] | Sequence[Row], path: Path) -> list[str]:
    names = [part.name for part in parts]
    for name in names:
        if names.count(name) > 1:
            raise SpecError(
                f"{path}: the name {name!r} is given twice", Advice("give each name once")
            )
    return names


def _all_known(what: str, names: Sequence[str] | dict[str, Number], known: list[str]) -> None:
    for name in names:
        if name not in known:
            raise SpecError(suggest(what, name, known), Advice(f"use a {what} that there is"))
