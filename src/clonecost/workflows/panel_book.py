"""The book of a panel, `panel.json`: every decision is written before it takes effect."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from clonecost.config import Spec
from clonecost.config.panel_entries import PlannedEntry
from clonecost.oracle.ledger import ACCOUNTS
from clonecost.oracle.record import Record
from clonecost.persistence import run_folder
from clonecost.result import (
    PANEL,
    Look,
    PanelDocument,
    PanelEntry,
    PanelLimits,
    WatchRows,
    read_panel,
)
from clonecost.workflows.panel_rule import WORDS
from clonecost.workflows.panel_watch import LEDGER as WATCH_LEDGER


class Book:
    """The document of a panel in its folder. A method that changes it writes it at once.

    Attributes:
        document: as it is on the disk.
    """

    def __init__(self, out: Path, spec: Spec, planned: Sequence[PlannedEntry]) -> None:
        self.out = out
        assert spec.panel is not None
        limits = PanelLimits(budget=spec.budget, minutes=spec.minutes, max_usd=spec.max_usd)
        held = read_panel(out)
        if held is None:
            self.document = PanelDocument(
                level=spec.panel, entries=[_new(one) for one in planned], rule=WORDS,
                watch=WatchRows(ledger=None, rows=0, words="none"), limits=limits, spent=0,
                usd_per_1000=spec.price,
            )  # fmt: skip
            return
        entries = held.entries
        if held.limits != limits:  # what did not fit the old limits may fit the new ones
            entries = [
                one.model_copy(update={"ended": None, "why": ""}) if one.ended == "not_run" else one
                for one in entries
            ]
        self.document = held.model_copy(
            update={"limits": limits, "entries": entries, "usd_per_1000": spec.price}
        )

    @property
    def entries(self) -> list[PanelEntry]:
        """The entries in their order."""
        return self.document.entries

    @property
    def decided(self) -> bool:
        """Whether every entry has ended or will not be run."""
        return all(entry.ended is not None for entry in self.entries)

    def folder(self, place: int) -> Path:
        """The run folder of an entry: NN-ATTACK, from 01."""
        entry = self.entries[place]
        return self.out / (entry.run or f"{place + 1:02}-{_plain(entry.name)}")

    def set(self, place: int, **changes: Any) -> None:
        """Change an entry, and write the book."""
        entries = list(self.entries)
        entries[place] = entries[place].model_copy(update=changes)
        spent = sum(entry.spent for entry in entries) + self.document.watch.rows
        self._write(entries=entries, spent=spent)

    def add_look(self, place: int, look: Look) -> None:
        """Record a look of the rule."""
        self.set(place, looks=[*self.entries[place].looks, look])

    def bought_watch(self, watch: WatchRows) -> None:
        """Record the watch rows."""
        spent = sum(entry.spent for entry in self.entries) + watch.rows
        self._write(watch=watch, spent=spent)

    def took(self, seconds: float) -> None:
        """Record the seconds of all sessions; written with the next change."""
        self.document = self.document.model_copy(update={"seconds": seconds})

    def paid(self) -> int:
        """Rows of all accounts of the panel, evaluation and lost rows included."""
        places = range(len(self.entries))
        ledgers = [self.folder(place) / run_folder.LEDGER for place in places]
        return sum(map(_paid, [self.out / WATCH_LEDGER, *ledgers]))

    def paid_evaluation(self, rows: int) -> Path | None:
        """The run folder of the first entry whose ledger has paid for all evaluation rows.

        Args:
            rows: of the evaluation.
        """
        folders = (self.folder(place) for place in range(len(self.entries)))
        return next((one for one in folders if _evaluated(one) >= rows), None)

    def asked_by(self, place: int) -> int:
        """Rows that were answered to an entry's attack, also of a run that failed."""
        ledger = self.folder(place) / run_folder.LEDGER
        if not ledger.is_file():
            return 0
        with closing(Record.read(ledger)) as record:
            return record.totals("attack").settled

    def write(self) -> None:
        """Write the book as it is."""
        self._write()

    def _write(self, **changes: Any) -> None:
        self.document = self.document.model_copy(update=changes)
        run_folder.write(self.out / PANEL, self.document.model_dump_json(indent=2) + "\n")


def _new(one: PlannedEntry) -> PanelEntry:
    return PanelEntry(
        name=one.name, run=None, attack=one.attack, owns=one.owns, seed=one.seed, budget=0
    )


def _plain(name: str) -> str:
    return name.replace(", seed ", "-seed").replace(":", "-")


def _evaluated(folder: Path) -> int:
    """Rows of the evaluation that were answered to this run and that it paid for."""
    if not (folder / run_folder.LEDGER).is_file():
        return 0
    with closing(Record.read(folder / run_folder.LEDGER)) as record:
        totals = record.totals("evaluation")
    return totals.settled - totals.taken


def _paid(ledger: Path) -> int:
    if not ledger.is_file():
        return 0
    with closing(Record.read(ledger)) as record:
        totals = [record.totals(account) for account in ACCOUNTS]
    return sum(one.paid for one in totals)
