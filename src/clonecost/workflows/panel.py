"""Run a panel: its entries one after the other, each on its own account, within the panel's limits.

The same command goes on after a crash: entries that ended are not run again, and every decision is
in the panel's book before it takes effect (`workflows.panel_book`).
"""

import time
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from clonecost.audit import Audit, check, run_audit
from clonecost.audit.halt import Halt
from clonecost.config import Spec, audits, load_parts, must_consent, to_toml
from clonecost.config.build import Parts, load_test
from clonecost.config.defaults import takes_of, victim_shape
from clonecost.config.panel_entries import (
    PlannedEntry,
    entries_of,
    fingerprint_rows,
    least_share,
    looking_entry,
    must_fit,
    parts_of,
    rows_before,
    sized,
)
from clonecost.errors import CloneCostError, RunError, SetKey, SpecError
from clonecost.persistence import run_folder
from clonecost.report.panel import fingerprint_lines
from clonecost.result import Result, read_result
from clonecost.types import Progress, no_progress
from clonecost.workflows.agreements import Either, remember, remembered
from clonecost.workflows.costs import known_speed, speed_of_student, with_drawing
from clonecost.workflows.estimate import Clock, Speed
from clonecost.workflows.panel_allotment import Allotment
from clonecost.workflows.panel_book import OF_ONE_ENTRY, WITH_CLONE, Book
from clonecost.workflows.panel_fingerprint import look
from clonecost.workflows.panel_measures import Means, take_measures
from clonecost.workflows.panel_parts import EntryParts
from clonecost.workflows.panel_rule import look_at
from clonecost.workflows.panel_watch import buy_watch
from clonecost.workflows.run import Watch as Callbacks
from clonecost.workflows.run import must_be_same_audit


def run_panel(
    spec: Spec, out: Path, *, watch: Callbacks, progress: Progress = no_progress,
    command: str = "", consent: Container[str] = (), where: str = "The spec",
    notice: Callable[[str], object] = str, clock: Clock = time.monotonic,
) -> Iterator[tuple[Path, Result]]:  # fmt: skip
    """Run the panel of a spec; yields the run folder and the result of each entry that has one.

    Args:
        spec: with a panel.
        out: the panel's folder: the book, the watch rows' ledger, and a run folder for each entry.
        watch: the callbacks for each audit.
        notice: gets one sentence about each entry before it starts, or why it does not.
        clock: seconds.

    Raises:
        ConsentError: the spec would run or contact what the person has not agreed to.
        CloneCostError: no entry can be run, or the victim fails; every paid answer is kept.
    """
    must_be_same_audit(out, spec)
    sized = _sized(spec)
    planned = entries_of(sized)
    book = Book(out, sized, planned)
    if not book.decided:
        agreed = Either(consent, remembered(out, spec))
        must_consent(spec, agreed, where=where)
        run_folder.make(out)
        remember(out, spec)
        session = _Session(
            sized, book, planned, load_parts(spec, progress, consent=agreed), command, notice,
            clock, began=clock() - book.document.seconds,
        )  # fmt: skip
        first = session.must_have_one()
        run_folder.write(out / run_folder.SPEC, to_toml(spec))
        book.write()
        session.buy(progress)
        session.look(progress)
        for place in range(first, len(planned)):
            session.run(place, watch)
            if (found := _result(book, place)) is not None:
                yield found
        session.measure(watch, progress)
        before = range(first)
    else:
        before = range(len(planned))
    yield from (found for place in before if (found := _result(book, place)) is not None)
    if not any(entry.ended in WITH_CLONE for entry in book.entries):
        raise RunError(
            f"No attack of the panel has a clone. {book.entries[0].name}: {book.entries[0].why}",
            SetKey("budget"), SetKey("attack"),
        )  # fmt: skip


def _sized(spec: Spec) -> Spec:
    if takes_of(spec) != "images" or victim_shape(spec):
        return spec
    try:
        return sized(spec, load_test(spec).shape)
    except CloneCostError:  # it is said where the parts are loaded
        return spec


def _result(book: Book, place: int) -> tuple[Path, Result] | None:
    folder = book.folder(place)
    if book.entries[place].ended in (None, "not_run", "failed"):
        return None
    return folder, read_result(folder)


@dataclass
class _Session:
    """One session of a panel: its parts, its clock, and the speed of this machine."""

    spec: Spec
    book: Book
    planned: list[PlannedEntry]
    parts: Parts
    command: str
    notice: Callable[[str], object]
    clock: Clock
    began: float  # by the clock, earlier sessions included

    def __post_init__(self) -> None:
        self.own = EntryParts(self.spec, self.parts)
        self.gets = Allotment(self.spec, self.book, self.planned, self.own, self.clock, self.began)

    def must_have_one(self) -> int:
        """Refuse a panel of which no entry can be run; returns the place of the first undecided.

        Raises:
            CloneCostError: what is wrong with the first entry, if all are wrong.
        """
        problems = [
            self._problem(place, self.gets.share(place)) for place in range(len(self.planned))
        ]
        begun = any(entry.ended in WITH_CLONE for entry in self.book.entries)
        if all(problems) and problems[0] is not None and not begun:
            raise problems[0]
        must_fit(self.spec, self.parts.threat.num_classes)
        watched = rows_before(self.spec)
        share = (self.gets.affordable() - watched) / parts_of(self.spec)
        if share < least_share(self.spec, self.parts.threat.num_classes) and not begun:
            raise SpecError(
                "The limit of money fits no attack of the panel beside the evaluation of "
                f"{self.gets.evaluation():,} rows and the panel's own {watched:,} rows",
                SetKey("max_usd"), SetKey("price"), got=f"${self.spec.max_usd:g}",
            )  # fmt: skip
        undecided = (k for k, entry in enumerate(self.book.entries) if entry.ended is None)
        return next(undecided, len(self.planned))  # or the measures are left

    def buy(self, progress: Progress) -> None:
        """Buy the watch rows, and measure how fast victim and student are."""
        began = self.clock()
        telling = self.parts.threat.answers != "label"  # a tiny step seldom changes a label
        pieces = telling and any(one.pieces or one.exact for one in self.planned)
        self.gets.watch = buy_watch(self.spec, self.parts, self.book.out, progress, probe=pieces)
        if self.book.document.watch != self.gets.watch.card:
            self.book.bought_watch(self.gets.watch.card)
        rows, student = self.gets.watch.card.rows, None
        victim = (self.clock() - began) / rows if rows else None
        if self.spec.minutes is not None and self.parts.student:
            student = speed_of_student(
                self.spec, self.parts.threat, self.parts.student, time.perf_counter
            )
        speed = Speed(victim=victim, student=student)
        if self.spec.minutes is not None:
            speed = with_drawing(self.spec, self.parts.threat, speed, time.perf_counter)
        self.gets.speed = known_speed(self.spec, speed)
        self.own.speed = self.gets.speed.student

    def look(self, progress: Progress) -> None:
        """Ask public pictures what backbone the victim has, if an attack needs it."""
        entry = looking_entry(self.spec)
        pool = self.own.proxy(entry.spec) if entry else None
        if entry is None or pool is None:
            return
        held = self.book.document.fingerprint
        try:
            self.gets.known = look(
                entry, self.spec, self.parts, pool, self.book.out, held=held, progress=progress,
                rows=min(fingerprint_rows(self.spec), len(pool), self.gets.rows_left()),
                left=self.gets.left(), victim=self.gets.speed.victim or 0.0,
            )  # fmt: skip
        except OF_ONE_ENTRY as error:
            self.notice(f"The look for a public backbone failed: {error.fact}")
        if (found := self.gets.known.found) is not None and held is None:
            self.gets.took()
            self.book.looked(found)
        for line in fingerprint_lines(self.gets.known.found):
            self.notice(line)

    def run(self, place: int, watch: Callbacks) -> None:
        """Run the entry at this place unless it has ended, and record how it ends."""
        entry = self.book.entries[place]
        if entry.ended is not None:
            return
        if entry.run is None:  # a run that was begun goes on with the budget that it got
            rows, why = self.gets.of(place, self._problem)
            if not rows:
                self.book.set(place, ended="not_run", why=why)
                self.notice(f"{entry.name} is not run: {why}")
                return
            self.book.set(place, run=self.book.folder(place).name, budget=rows, why=why)
            entry = self.book.entries[place]
        number = f"{place + 1} of {len(self.planned)}"
        cut = f"; {entry.why}" if entry.why else ""
        self.notice(f"{number}: {entry.name}, at most {entry.budget:,} rows{cut}")
        audit = self._audit(place, entry.budget)
        callbacks = watch(audit)
        remember(audit.folder, self.gets.spec_of(place, entry.budget))
        try:
            result = run_audit(
                audit, callbacks, halt=self._halt(place),
                evaluation_of=self.book.paid_evaluation(self.gets.evaluation()),
            )  # fmt: skip
        except OF_ONE_ENTRY as error:
            self.gets.took()
            self.book.set(place, ended="failed", why=error.fact, spent=self.book.asked_by(place))
            self.notice(f"{entry.name} failed: {error.fact}")
            return
        finally:
            self.gets.took()
        why = self._why(place) if result.ended == "stopped" else entry.why
        self.book.set(place, ended=result.ended, why=why, spent=self.book.asked_by(place))

    def _halt(self, place: int) -> Halt:
        """The stop rule and the time limit at the milestones of an entry.

        It is given the watch rows, and no test row.
        """
        watch, book = self.gets.watch, self.book

        def halt(clone: nn.Module, queries: int) -> bool:
            entry = book.entries[place]
            known = next((one for one in entry.looks if one.queries == queries), None)
            if known is None:  # else it was decided before a crash
                found = watch.agreements(clone, queries) if watch else []
                known = look_at(
                    found, queries, budget=entry.budget, before=entry.looks,
                    others=[one.looks for one in book.entries[:place]],
                    late=self.planned[place].late,
                )  # fmt: skip
                if known.stop is None and queries < entry.budget and self.gets.left() <= 0:
                    known = known.model_copy(update={"stop": "time"})
                self.gets.took()
                book.add_look(place, known)
            return known.stop is not None

        return halt

    def _why(self, place: int) -> str:
        last = next(one for one in reversed(self.book.entries[place].looks) if one.stop)
        if last.stop == "time":
            return f"the time limit of {self.spec.minutes:g} minutes was reached"
        return "on the watch rows it could no longer catch up with an earlier attack"

    # -- after the attacks -----------------------------------------------------------------------

    def measure(self, watch: Callbacks, progress: Progress) -> None:
        """Take the measures of the panel that are not decided yet."""
        means = Means(
            left=self.gets.left, rows=self.gets.rows_left,
            seconds=self.gets.seconds,
            again=lambda place, rows: self._with_labels(place, rows, watch), begun=self.notice,
        )  # fmt: skip
        try:
            take_measures(self.book, self.planned, means, progress)
        finally:
            self.gets.took()
            self.book.write()

    def _with_labels(self, place: int, rows: int, watch: Callbacks) -> Result:
        """Run an entry again on an API that gives labels only, as far as it ran before."""
        single = self.gets.spec_of(place, rows)
        spec, parts = single.model_copy(update={"answers": "label"}), self.own.of(single)
        parts = replace(parts, threat=replace(parts.threat, answers="label", top_k=None))
        (audit,) = audits(spec, parts, self.book.folder_of_labels, self.command)
        remember(audit.folder, spec)
        entry = self.book.entries[place]
        ends = entry.spent if entry.ended == "stopped" else rows
        return run_audit(
            audit, watch(audit), halt=lambda clone, queries: queries >= ends,
            evaluation_of=self.book.paid_evaluation(self.gets.evaluation()),
        )  # fmt: skip

    def _problem(self, place: int, rows: int) -> CloneCostError | None:
        """Why the entry's audit would be refused; None: it can be run."""
        if self.planned[place].missing:
            return SpecError(self.planned[place].missing)
        try:
            check(self._audit(place, max(1, rows)))
        except OF_ONE_ENTRY as error:
            return error
        return None

    def _audit(self, place: int, rows: int) -> Audit:
        single = self.gets.spec_of(place, rows)
        folder = self.book.folder(place)
        (audit,) = audits(single, self.own.of(single), folder, self.command)
        return audit
