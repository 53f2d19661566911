"""The book of a panel, `panel.json`: every decision is written before it takes effect."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from clonecost.config import Spec
from clonecost.config.panel_entries import PlannedEntry, measures_labels
from clonecost.errors import AnswersError, DataError, PrecisionError, QueryError, SpecError
from clonecost.oracle.ledger import ACCOUNTS
from clonecost.oracle.payer import paid_evaluation
from clonecost.oracle.record import Record
from clonecost.persistence import run_folder
from clonecost.result import (
    PANEL,
    Look,
    MeasureKind,
    PanelDocument,
    PanelEntry,
    PanelLimits,
    PanelMeasure,
    WatchRows,
    read_panel,
)
from clonecost.result.fingerprint import Fingerprint
from clonecost.workflows.panel_fingerprint import LEDGER as LOOK_LEDGER
from clonecost.workflows.panel_rule import WORDS
from clonecost.workflows.panel_watch import LEDGER as WATCH_LEDGER

# An entry that fails so says nothing about the others: they are run. Any other error, such as a
# victim that does not answer, ends the panel, and the same command resumes it.
OF_ONE_ENTRY = (SpecError, QueryError, AnswersError, PrecisionError, DataError)
WITH_CLONE = ("finished", "budget_exhausted", "stopped")


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
                measures=_measures(spec), usd_per_1000=spec.price,
            )  # fmt: skip
            return
        entries, measures = held.entries, held.measures
        if held.limits != limits:  # what did not fit the old limits may fit the new ones
            entries = [
                one.model_copy(update={"ended": None, "why": ""}) if one.ended == "not_run" else one
                for one in entries
            ]
            measures = [
                one.model_copy(update={"ended": None, "why": ""}) if one.ended == "not_run" else one
                for one in measures
            ]
        self.document = held.model_copy(
            update={"limits": limits, "entries": entries, "measures": measures,
                    "usd_per_1000": spec.price}
        )  # fmt: skip

    @property
    def entries(self) -> list[PanelEntry]:
        """The entries in their order."""
        return self.document.entries

    @property
    def decided(self) -> bool:
        """Whether every entry and every measure has ended or will not be run."""
        ended = [entry.ended for entry in self.entries] + [one.ended for one in self.measures]
        return None not in ended

    @property
    def measures(self) -> list[PanelMeasure]:
        """The measures in their order."""
        return self.document.measures

    @property
    def folder_of_labels(self) -> Path:
        """The run folder of the attack that is run again with labels only."""
        return self.out / "measure-labels"

    def folder(self, place: int) -> Path:
        """The run folder of an entry: NN-ATTACK, from 01."""
        entry = self.entries[place]
        return self.out / (entry.run or f"{place + 1:02}-{_plain(entry.name)}")

    def set(self, place: int, **changes: Any) -> None:
        """Change an entry, and write the book."""
        entries = list(self.entries)
        entries[place] = entries[place].model_copy(update=changes)
        self._write(entries=entries)

    def set_measure(self, kind: MeasureKind, **changes: Any) -> None:
        """Change a measure, and write the book."""
        self._write(measures=[
            one.model_copy(update=changes) if one.kind == kind else one for one in self.measures
        ])  # fmt: skip

    def add_look(self, place: int, look: Look) -> None:
        """Record a look of the rule."""
        self.set(place, looks=[*self.entries[place].looks, look])

    def bought_watch(self, watch: WatchRows) -> None:
        """Record the watch rows."""
        self._write(watch=watch)

    def looked(self, found: Fingerprint) -> None:
        """Record what the victim's answers show of its backbone."""
        self._write(fingerprint=found)

    def took(self, seconds: float) -> None:
        """Record the seconds of all sessions; written with the next change."""
        self.document = self.document.model_copy(update={"seconds": seconds})

    def spent(self) -> int:
        """Rows that were answered to the attacks, the measures, and to the panel itself."""
        measured = sum(one.spent for one in self.measures)
        looked = self.document.fingerprint.asked if self.document.fingerprint else 0
        spent = sum(one.spent for one in self.entries)
        return self.document.watch.rows + looked + spent + measured

    def paid(self) -> int:
        """Rows of all accounts of the panel, evaluation and lost rows included."""
        places = range(len(self.entries))
        ledgers = [self.folder(place) / run_folder.LEDGER for place in places]
        ledgers += [
            self.out / WATCH_LEDGER,
            self.out / LOOK_LEDGER,
            self.folder_of_labels / run_folder.LEDGER,
        ]
        return sum(map(_paid, ledgers))

    def paid_evaluation(self, rows: int) -> Path | None:
        """The run folder of the first entry whose ledger has paid for all evaluation rows.

        Args:
            rows: of the evaluation.
        """
        folders = (self.folder(place) for place in range(len(self.entries)))
        return paid_evaluation(folders, rows)

    def asked_by(self, place: int) -> int:
        """Rows that were answered to an entry's attack, also of a run that failed."""
        return _asked(self.folder(place))

    def asked_by_labels(self) -> int:
        """Rows that were answered to the attack with labels only."""
        return _asked(self.folder_of_labels)

    def write(self) -> None:
        """Write the book as it is."""
        self._write()

    def _write(self, **changes: Any) -> None:
        found = self.document.model_copy(update=changes)
        self.document = found
        self.document = found.model_copy(update={"spent": self.spent()})
        run_folder.write(self.out / PANEL, self.document.model_dump_json(indent=2) + "\n")


def _new(one: PlannedEntry) -> PanelEntry:
    return PanelEntry(
        name=one.name, run=None, attack=one.attack, owns=one.owns, seed=one.seed, budget=0
    )


def _plain(name: str) -> str:
    return name.replace(", seed ", "-seed").replace(":", "-")


def _measures(spec: Spec) -> list[PanelMeasure]:
    labels = [PanelMeasure(kind="labels")] if measures_labels(spec) else []
    return [PanelMeasure(kind="detectors"), *labels]


def _asked(folder: Path) -> int:
    ledger = folder / run_folder.LEDGER
    if not ledger.is_file():
        return 0
    with closing(Record.read(ledger)) as record:
        return record.totals("attack").settled


def _paid(ledger: Path) -> int:
    if not ledger.is_file():
        return 0
    with closing(Record.read(ledger)) as record:
        totals = [record.totals(account) for account in ACCOUNTS]
    return sum(one.paid for one in totals)
