"""What the entries of a panel get: their parts of its rows, its money and its time."""

from collections.abc import Callable
from dataclasses import dataclass, field

from clonecost.audit.attack_traits import clone_epochs, drawn, queries_per_iteration, search_passes
from clonecost.config import Spec
from clonecost.config.audits import milestones_of
from clonecost.config.panel_entries import PlannedEntry, least_of
from clonecost.errors import CloneCostError
from clonecost.report.number_format import duration
from clonecost.workflows.costs import evaluation_rows
from clonecost.workflows.estimate import Clock, Speed
from clonecost.workflows.panel_book import Book
from clonecost.workflows.panel_fingerprint import ITS_PART, Known
from clonecost.workflows.panel_parts import EntryParts
from clonecost.workflows.panel_watch import EXACT_PART, Watch

UNKNOWN_EPOCHS = 60  # epochs of a clone whose attack does not say how it trains
OF_A_STREAM = 4  # trainings on a row by an attack that trains as it queries
LEAST_SHARE = 0.1  # of an entry's rows: with fewer, for want of time, it is not run


@dataclass
class Allotment:
    """Divides what is left among the entries that are still to be run.

    Attributes:
        own: the parts of each entry.
        began: seconds by the clock, earlier sessions included.
        watch, speed, known: what the start of a panel finds out: the watch rows, the speed of
            victim and student here, and the victim's backbone.
    """

    spec: Spec
    book: Book
    planned: list[PlannedEntry]
    own: EntryParts
    clock: Clock
    began: float
    watch: Watch | None = None
    speed: Speed = field(default_factory=Speed)
    known: Known = field(default_factory=Known)

    @property
    def classes(self) -> int:
        """Classes of the victim."""
        return self.own.shared.threat.num_classes

    def of(
        self, place: int, problem_of: Callable[[int, int], CloneCostError | None]
    ) -> tuple[int, str]:
        """The rows of an entry, and a remark on them; 0: it is not run, and why."""
        one, rows = self.planned[place], self.share(place)
        if one.missing:
            return 0, one.missing
        least = least_of(one, self.classes)
        if rows < least:
            return 0, f"{max(0, rows):,} rows are left for it, and it needs {least:,}"
        if problem := problem_of(place, rows):
            return 0, problem.fact.removesuffix(".")
        if why := self.known.refusal(one):
            return 0, why
        if self.watch and (why := self.watch.refusal(one)):
            return 0, why
        left = self.left()
        if left <= 0:
            return 0, f"the time limit of {self.spec.minutes:g} minutes was reached before it"
        fair, takes = left / self._runnable(place), self.seconds(place, rows)
        if self.known.needs(one):
            fair = max(fair, ITS_PART * left)
        if takes <= fair:
            return rows, ""
        fit = int(rows * fair / takes)
        if fit < max(least, LEAST_SHARE * rows):
            return 0, (
                f"it would take about {duration(takes)} for {rows:,} rows, and its part of the "
                f"time that is left is {duration(fair)}"
            )
        return fit, f"{rows:,} rows would take about {duration(takes)}, longer than its time"

    def share(self, place: int) -> int:
        """The rows of an entry: an equal part of all that earlier ones have left over.

        An attack that surely applies gets what it needs, up to half of them; one that is exact for
        smooth models, of which the victim is one, gets `EXACT_PART`.
        """
        left, one = self.rows_left(), self.planned[place]
        needs = min(self.known.needs(one), int(ITS_PART * left))
        if one.exact and self.watch and self.watch.smooth:
            needs = int(EXACT_PART * left)
        return max(left // self._runnable(place), needs)

    def rows_left(self) -> int:
        """Rows that the budget and the money leave."""
        left = self.spec.budget - self.book.spent()
        return int(max(0, min(left, self.affordable())))

    def affordable(self) -> float:
        """Rows that the money pays for, beside the evaluation if it is still to come."""
        if self.spec.max_usd is None or not self.spec.price:
            return float("inf")
        left = int(1_000 * self.spec.max_usd / self.spec.price) - self.book.paid()
        return left - self.evaluation_to_pay()

    def _runnable(self, place: int) -> int:
        """The number of entries from this place on that are still to be run.

        The measure with labels only counts as one, so that rows and time are left for it.
        """
        pairs = zip(self.planned[place:], self.book.entries[place:], strict=True)
        measured = any(one.kind == "labels" and one.ended is None for one in self.book.measures)
        return max(1, measured + sum(e.ended is None and self._may_run(one) for one, e in pairs))

    def _may_run(self, one: PlannedEntry) -> bool:
        return not one.missing and not (self.watch and self.watch.refusal(one))

    def evaluation(self) -> int:
        """Rows on which the clones are scored."""
        return evaluation_rows(self.spec, self.own.shared.threat, len(self.own.shared.test))

    def evaluation_to_pay(self) -> int:
        """Rows of the evaluation that are still to be bought: the first run buys for all."""
        rows = self.evaluation()
        return 0 if self.book.paid_evaluation(rows) else rows

    def left(self) -> float:
        """Seconds until the time limit."""
        if self.spec.minutes is None:
            return float("inf")
        return 60 * self.spec.minutes - (self.clock() - self.began)

    def took(self) -> None:
        """Note in the book how long the panel has gone on."""
        self.book.took(self.clock() - self.began)

    def seconds(self, place: int, rows: int) -> float:
        """A rough estimate of an entry's time."""
        one, single = self.planned[place], self.spec_of(place, rows)
        attack = one.made
        asked = (rows + self.evaluation_to_pay()) * (self.speed.victim or 0.0)
        scored = len(self.own.shared.test) + (self.watch.card.rows if self.watch else 0)
        if self.spec.minutes is not None:
            features = self.known.seconds(one, rows, scored)
            if features is not None:
                return features + asked
        stops = [stop for stop in milestones_of(single) if stop < rows]
        of_step = self.own.student_speed(single)
        student = self.own.student(single) if of_step else None
        start = student.start if student else "scratch"
        passes = (clone_epochs(attack, start) or UNKNOWN_EPOCHS) * (sum(stops) + rows)
        passes += search_passes(attack, rows)
        if queries_per_iteration(attack):
            passes = OF_A_STREAM * rows
        made, _ = drawn(attack, rows)
        return passes * of_step + made * (self.speed.drawing or 0.0) + asked

    def spec_of(self, place: int, rows: int) -> Spec:
        """The spec of an entry's own audit, with what the fingerprint tells it."""
        one = self.planned[place]
        single = one.spec.model_copy(update={"budget": rows})
        if self.spec.student is None:
            single = single.model_copy(update={"student": self.known.student(one)})
        if told := self.known.settings(one):
            own = {**single.set.get("frozen_head", {}), **told}
            single = single.model_copy(update={"set": {**single.set, "frozen_head": own}})
        return single
