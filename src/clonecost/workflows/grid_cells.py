"""The rows and cells of a grid of defences: sweeps, attackers and folders. Sends nothing."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from clonecost.config import Spec, make_attack, make_counter, make_defence
from clonecost.countermeasures import Known
from clonecost.errors import Advice, ChooseFrom, DropKey, SetKey, SpecError
from clonecost.result.defence_grid import LABEL, NONE
from clonecost.types import AnswerKind, Defence, ThreatModel
from clonecost.workflows.pairings import Pairing, attackers_of

LONGEST = 80  # characters of a folder's name
TOGETHER = re.compile(r"\+(?=[a-z_])")  # between defences that stand in one row of the grid


@dataclass(frozen=True)
class Cell:
    """One audit of the grid."""

    spec: Spec  # of one attack and one seed
    folder: Path  # relative to the grid's folder


@dataclass(frozen=True)
class AttackerCells:
    """One attacker against one defence, with a cell for each seed."""

    pairing: Pairing
    cells: tuple[Cell, ...]
    bound: bool


@dataclass(frozen=True)
class Row:
    """A defence, as it is written, with all of its attackers."""

    name: str
    defences: tuple[Defence, ...]
    attackers: tuple[AttackerCells, ...]

    @property
    def cells(self) -> list[Cell]:
        return [cell for attacker in self.attackers for cell in attacker.cells]


def swept(text: str) -> list[str]:
    """A defence with several values of a setting as one defence for each value.

    Example:
        >>> swept("rounding:decimals=1,2")
        ['rounding:decimals=1', 'rounding:decimals=2']
        >>> swept("noise:scale=0.1,0.2,consistent=true")
        ['noise:scale=0.1,consistent=true', 'noise:scale=0.2,consistent=true']
    """
    name, colon, rest = text.partition(":")
    if not colon:
        return [text]
    settings: list[list[str]] = []
    for part in rest.split(","):
        if "=" in part or not settings:
            settings.append([part])
        else:
            key = settings[-1][0].partition("=")[0]
            settings[-1].append(f"{key}={part}")
    return [f"{name}:{','.join(one)}" for one in product(*settings)]


def together(text: str) -> list[str]:
    """The defences of one row, the first closest to the victim: "rounding+dawn:rate=0.1"."""
    return TOGETHER.split(text)


def expanded(texts: Iterable[str]) -> list[str]:
    """All defences of the grid, sweeps expanded, none twice.

    Example:
        >>> expanded(["temperature", "rounding:decimals=1,2+dawn"])
        ['temperature', 'rounding:decimals=1+dawn', 'rounding:decimals=2+dawn']
    """
    found = [
        "+".join(parts)
        for text in texts
        for parts in product(*(swept(part) for part in together(text)))
    ]
    return list(dict.fromkeys(found))


def grid_rows(
    spec: Spec, defences: Sequence[str], counters: Sequence[str], threat: ThreatModel
) -> list[Row]:
    """The rows of the grid: no defence, labels only, then every defence with its attackers.

    Args:
        spec: of one attack, without a defence and a countermeasure; its seeds are those of every
            cell.
        counters: countermeasures beside those that the pairing names; they must fit every defence.
        threat: of the undefended victim.

    Raises:
        SpecError: a name or a setting is wrong, or the attack cannot work with labels.
    """
    for counter in counters:
        make_counter(counter)
    must_fit(spec, threat.answers)
    none = _row(spec, NONE, [], [], threat)
    label = _row(spec.model_copy(update={"answers": "label"}), LABEL, [], [], threat)
    return [none, label, *(
        _row(spec, text, together(text), counters, threat) for text in expanded(defences)
    )]  # fmt: skip


def must_fit(spec: Spec, answers: AnswerKind) -> None:
    """Refuse a grid whose floor cannot be measured.

    Raises:
        SpecError: there is more than one attack, or one that labels do not suffice for; or the
            victim shows labels only.
    """
    if len(spec.attack) > 1:
        raise SpecError(
            "A grid of defences has one attack", SetKey("attack", spec.attack[0]),
            got=", ".join(spec.attack),
        )  # fmt: skip
    attack = make_attack(spec.attack[0], spec.set)
    if attack.declares.white_box:
        raise SpecError(
            f"{spec.attack[0]} reads the network behind the defences", ChooseFrom("attacks")
        )
    if attack.declares.needs != "label":
        raise SpecError(
            "Every defence is compared with an API that shows labels only, and "
            f"{spec.attack[0]} cannot work with labels",
            SetKey("attack", "knockoff"), ChooseFrom("attacks"),
        )  # fmt: skip
    if answers == "label":
        raise SpecError(
            "The victim shows labels only, and nothing is left for these defences to change",
            DropKey("answers"),
            Advice("audit it as it is"),
        )


def _row(
    spec: Spec, name: str, texts: Sequence[str], counters: Sequence[str], threat: ThreatModel
) -> Row:
    defences = tuple(make_defence(text) for text in texts)
    known = Known.of(defences, 0)
    named = [Pairing(one, "it was asked for") for one in counters]
    pairings = [*attackers_of(known.names), *(named if texts else [])]
    base = spec.model_copy(update={"defence": list(texts)})
    attackers, home = [], folder_name(name)
    for pairing in {one.name: one for one in pairings}.values():
        counter = make_counter(pairing.counter)
        if counter is not None and counter.repeats > spec.budget:
            raise SpecError(
                f"The budget is smaller than the {counter.repeats} queries that {pairing.name} "
                "needs for a row",
                SetKey("budget", counter.repeats), got=spec.budget,
            )  # fmt: skip
        refused = counter.unfit(known, threat) if counter else None
        if refused and pairing in named:
            raise refused
        if refused:  # the pairing is by name, and with these settings it does not fit
            continue
        cells = tuple(
            Cell(
                base.model_copy(update={"counter": pairing.counter, "seed": [seed]}),
                Path(home, f"{folder_name(pairing.name)}-{seed}"),
            )
            for seed in spec.seed
        )
        attackers.append(AttackerCells(pairing, cells, bool(getattr(counter, "bound", False))))
    return Row(name, defences, tuple(attackers))


def folder_name(text: str) -> str:
    """The text in characters that every file system takes; a digest keeps other texts apart.

    Example:
        >>> folder_name("label_only"), folder_name("rounding:decimals=1")
        ('label_only', 'rounding-decimals-1-0fa2cc')
    """
    plain = re.sub(r"[^A-Za-z0-9_.]+", "-", text).strip("-.")[:LONGEST]
    if plain == text:
        return plain
    return f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def all_cells(rows: Iterable[Row]) -> Iterator[Cell]:
    """The cells of all rows, in the order in which they run."""
    for row in rows:
        yield from row.cells
