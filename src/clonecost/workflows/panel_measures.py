"""What a panel measures after its attacks: would you have noticed, and what would labels only take?

`detectors`: the detectors watch the ledger of the attack with the cheapest clone. Nothing is sent.

`labels`: the cheapest of those attacks that need no more than labels is run again on an API that
gives labels only, with the same budget, seed and milestones, on an account of its own. It is no
attack of the panel: it takes part neither in the choice of the cheapest clone nor in the limits of
a pipeline.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from clonecost.config.panel_entries import PlannedEntry
from clonecost.errors import CloneCostError, DataError
from clonecost.report.aggregate import group_runs
from clonecost.report.load_runs import load_runs
from clonecost.report.number_format import duration
from clonecost.report.panel import cheapest
from clonecost.result import MeasureKind, Result
from clonecost.types import Progress, richness
from clonecost.workflows.detect import detect
from clonecost.workflows.panel_book import OF_ONE_ENTRY, WITH_CLONE, Book

CALIBRATION = 20.0  # seconds in which the detectors make and judge honest accounts, about
OF_A_ROW = 2e-3  # seconds of all detectors for a row of the attack, about
NO_CLONE = "no clone of the panel learnt anything"
RunAgain = Callable[[int, int], Result]  # (place of the entry, rows): runs it with labels only


@dataclass(frozen=True)
class Means:
    """What the measures need of the panel's session.

    Attributes:
        left: seconds until the time limit.
        rows: that the budget and the money leave.
        seconds: the estimate of (place of an entry, rows).
        again: runs an entry with labels only.
        begun: gets one sentence before a measure is taken, or why it is not.
    """

    left: Callable[[], float]
    rows: Callable[[], int]
    seconds: Callable[[int, int], float]
    again: RunAgain
    begun: Callable[[str], object]


def take_measures(
    book: Book, planned: Sequence[PlannedEntry], means: Means, progress: Progress
) -> None:
    """Take those measures of the book that are not decided yet.

    Raises:
        CloneCostError: the victim fails; every paid answer is kept.
    """
    for measure in book.measures:
        if measure.ended is None:
            if measure.kind == "detectors":
                _detectors(book, means, progress)
            else:
                _labels(book, planned, means)


def _detectors(book: Book, means: Means, progress: Progress) -> None:
    place = _cheapest(book)
    if place is None:
        _leave_out(book, "detectors", NO_CLONE, means)
        return
    entry = book.entries[place]
    takes, left = CALIBRATION + OF_A_ROW * entry.spent, means.left()
    if takes > left:
        _leave_out(book, "detectors", _too_long(takes, left), means)
        return
    book.set_measure("detectors", of=entry.run)
    means.begun(f"the detectors watch the rows of {entry.name}; nothing is sent")
    try:
        found = detect(book.folder(place), progress=progress)
    except DataError as error:  # too few test rows
        _leave_out(book, "detectors", error.fact.removesuffix("."), means)
        return
    except CloneCostError as error:  # it sends nothing, so no failure of it is the victim's
        book.set_measure("detectors", ended="failed", why=error.fact)
        means.begun(f"The detectors failed: {error.fact}")
        return
    book.set_measure("detectors", ended="finished", why=found.verdict)


def _labels(book: Book, planned: Sequence[PlannedEntry], means: Means) -> None:
    begun = next(one for one in book.measures if one.kind == "labels")
    if begun.run is None:  # one that was begun goes on
        place = _cheapest(
            book, lambda place: richness(planned[place].made.declares.needs) <= richness("label")
        )
        if place is None:
            why = f"{NO_CLONE} without probabilities"
            _leave_out(book, "labels", why, means)
            return
        entry = book.entries[place]
        rows, left = means.rows(), means.left()
        needs = entry.spent if entry.ended == "stopped" else entry.budget
        takes = means.seconds(place, needs)
        if rows < needs:
            why = f"{max(0, rows):,} rows are left, and {entry.name} had {needs:,}"
            _leave_out(book, "labels", why, means)
            return
        if takes > left:
            _leave_out(book, "labels", _too_long(takes, left), means)
            return
        book.set_measure(
            "labels", of=entry.run, run=book.folder_of_labels.name, budget=entry.budget
        )
    else:
        place = next(k for k, entry in enumerate(book.entries) if entry.run == begun.of)
        entry = book.entries[place]
    means.begun(f"{entry.name} again with labels only, at most {entry.budget:,} rows: a measure")
    try:
        result = means.again(place, entry.budget)
    except OF_ONE_ENTRY as error:
        book.set_measure("labels", ended="failed", why=error.fact, spent=book.asked_by_labels())
        means.begun(f"The measure failed: {error.fact}")
        return
    book.set_measure("labels", ended=result.ended, spent=book.asked_by_labels())


def _cheapest(book: Book, fits: Callable[[int], bool] = lambda place: True) -> int | None:
    """The place of the entry with the cheapest clone; None: no clone learnt anything."""
    places = {
        book.folder(place).resolve().name: place
        for place, entry in enumerate(book.entries)
        if entry.ended in WITH_CLONE and fits(place)
    }
    if not places:
        return None
    found = cheapest(group_runs(load_runs([book.folder(place) for place in places.values()])))
    return None if found is None else places[found.group.runs[0].name]


def _leave_out(book: Book, kind: MeasureKind, why: str, means: Means) -> None:
    book.set_measure(kind, ended="not_run", why=why)
    means.begun(f"{'Labels only' if kind == 'labels' else 'Detectors'}: not measured: {why}")


def _too_long(takes: float, left: float) -> str:
    return (
        f"it would take about {duration(takes)}, and {duration(max(0.0, left))} are left of the "
        "time"
    )
