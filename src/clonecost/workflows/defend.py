"""Run a grid of defences and attackers: one audit a cell, and the document of what is finished."""

import time
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from clonecost.audit import Audit, Watcher
from clonecost.config import (
    Spec,
    answers_of,
    load_parts,
    make_counter,
    make_defence,
    must_consent,
)
from clonecost.config.build import Parts
from clonecost.config.defaults import must_give_one_class
from clonecost.errors import Advice, CloneCostError, SpecError
from clonecost.oracle.payer import paid_evaluation
from clonecost.persistence import run_folder
from clonecost.report.defence_table import as_markdown
from clonecost.result.defence_grid import FILE, DefenceGrid
from clonecost.types import Progress, no_progress
from clonecost.workers import Pool
from clonecost.workflows.agreements import Either, remember, remembered
from clonecost.workflows.apart import Single, run_singles
from clonecost.workflows.costs import (
    estimates,
    evaluation_rows,
    in_words,
    known_speed,
    must_be_quick_enough,
    speed_of_student,
    with_drawing,
)
from clonecost.workflows.estimate import Clock, Speed
from clonecost.workflows.grid_cells import (
    Cell,
    Row,
    all_cells,
    expanded,
    grid_rows,
    must_fit,
    together,
)
from clonecost.workflows.grid_document import document
from clonecost.workflows.run import finished, run_spec

MARKDOWN = "defences.md"
FIRST = 2  # rows without which nothing can be compared: no defence, and labels only


@dataclass(frozen=True)
class Grid:
    """A grid that can run: its victim and data are loaded, nothing is sent."""

    spec: Spec
    out: Path
    rows: list[Row]
    parts: Parts

    @property
    def cells(self) -> list[Cell]:
        """The audits in the order in which they run."""
        return list(all_cells(self.rows))

    @property
    def open(self) -> list[Cell]:
        """The cells that are not finished."""
        return [c for c in self.cells if finished(self.out / c.folder, c.spec) is None]

    @property
    def evaluation(self) -> int:
        """Rows that the undefended victim is asked, which the first run buys for all."""
        return evaluation_rows(self.spec, self.parts.threat, len(self.parts.test))


def prepare(
    spec: Spec, defences: Sequence[str], out: Path, *, counters: Sequence[str] = (),
    progress: Progress = no_progress, consent: Container[str] = (), where: str = "The spec",
) -> Grid:  # fmt: skip
    """Load what a grid needs and check every cell by name. Sends nothing.

    Args:
        spec: of one attack; its seeds are those of every cell.
        defences: as in a spec; several values of a setting make several rows, `+` puts defences
            into one row.
        counters: attackers beside those that the defences are paired with.

    Raises:
        ConsentError: the spec would run or contact what the person has not agreed to.
        SpecError: a defence, a countermeasure or the attack does not fit.
    """
    if not defences:
        raise SpecError(
            "A grid compares defences, and none is given",
            Advice("give one or several, such as rounding:decimals=1"),
        )
    agreed = Either(consent, remembered(out, spec))
    must_consent(spec, agreed, where=where)
    _must_be_named(spec, defences, counters)
    must_give_one_class(spec, "A defence")
    parts = load_parts(spec, progress, consent=agreed)
    return Grid(spec, out, grid_rows(spec, defences, counters, parts.threat), parts)


def _must_be_named(spec: Spec, defences: Sequence[str], counters: Sequence[str]) -> None:
    """Refuse a mistake in a name or a setting before a victim is loaded or trained.

    Raises:
        SpecError: a name or a setting is wrong.
    """
    for text in expanded(defences):
        for part in together(text):
            make_defence(part)
    for text in counters:
        make_counter(text)
    must_fit(spec, answers_of(spec)[0])


def preview(grid: Grid, *, clock: Clock = time.perf_counter) -> list[tuple[str, str]]:
    """(name, fact): the cells, queries, money and hours of the grid. Sends nothing."""
    spec, count = grid.spec, len(grid.cells)
    rows = spec.budget * count
    lines = [(row.name, ", ".join(a.pairing.name for a in row.attackers)) for row in grid.rows]
    done = count - len(grid.open)
    lines.append(("runs", f"{count}, of which {done} are finished"))
    lines.append(("queries", f"at most {rows:,} of the attackers, all counted"))
    lines.append(("evaluation", f"{grid.evaluation:,} rows to the undefended victim, once"))
    if spec.price is not None:
        lines.append(("money", f"at most ${rows * spec.price / 1000:,.2f}"))
    speed = with_drawing(spec, grid.parts.threat, Speed(), clock)
    if grid.parts.student:
        speed = replace(
            speed, student=speed_of_student(spec, grid.parts.threat, grid.parts.student, clock)
        )
    found = estimates(
        spec, grid.parts.threat, len(grid.parts.test), known_speed(spec, speed), grid.parts.student
    )
    return [*lines, *in_words(found, count)]


def run_grid(
    grid: Grid, *, watch: Callable[[Cell], Watcher], command: str = "",
    consent: Container[str] = (), where: str = "The spec", notice: Callable[[str], object] = str,
    pool: Pool | None = None, beat: Callable[[], object] = lambda: None,
) -> Iterator[DefenceGrid]:  # fmt: skip
    """Run the cells that are not finished, row by row, or in a pool all at once.

    After the two rows that everything is compared with, and after each further row, the document is
    written to `defences.json` and `defences.md`, and yielded. The same call goes on after a kill.

    Args:
        watch: the callbacks for each cell that runs in this process.
        notice: gets the hours and the memory of a run, in words, before the first query, and a
            sentence for each cell that a pool has run.
        pool: where the cells run at once, after the first one, which pays for the evaluation of
            all; None: in this process.
        beat: called about once a second while a pool runs.

    Raises:
        CloneCostError: an audit cannot be run; every paid answer is kept.
    """
    if grid.open:
        run_folder.make(grid.out)
        must_be_quick_enough(
            grid.spec, grid.parts.victim, grid.parts.threat, len(grid.parts.test),
            student=grid.parts.student, notice=notice,
        )  # fmt: skip
    ended = (
        _in_this_process(grid, watch, command, consent, where) if pool is None
        else _in_a_pool(grid, pool, beat, command, Either(consent, remembered(grid.out, grid.spec)),
                        notice)
    )  # fmt: skip
    place = 0
    for left in ended:
        while place < len(grid.rows) and not any(c.folder in left for c in grid.rows[place].cells):
            place += 1
            if place >= FIRST:
                yield _document(grid, place)


def _document(grid: Grid, rows: int) -> DefenceGrid:
    asked = [one.name for one in grid.rows]
    found = document(grid.rows[:rows], grid.out, grid.parts.test, grid.parts.threat, asked)
    run_folder.write(grid.out / FILE, found.model_dump_json(indent=2) + "\n")
    run_folder.write(grid.out / MARKDOWN, as_markdown(found))
    return found


def _in_this_process(
    grid: Grid, watch: Callable[[Cell], Watcher], command: str, consent: Container[str], where: str
) -> Iterator[set[Path]]:
    """Run one cell after the other; yields the folders of those that are left."""
    left = grid.cells
    while left:
        cell = left.pop(0)
        threat = grid.parts.threat
        if cell.spec.answers == "label":
            threat = replace(threat, answers="label", top_k=None)
        for _ in run_spec(
            cell.spec, grid.out / cell.folder, watch=partial(_of_cell, watch, cell),
            command=command, consent=consent, where=where,
            parts=replace(grid.parts, threat=threat), evaluation_of=_payer(grid),
        ):  # fmt: skip
            pass
        yield {one.folder for one in left}


def _of_cell(watch: Callable[[Cell], Watcher], cell: Cell, _: Audit) -> Watcher:
    return watch(cell)


def _in_a_pool(
    grid: Grid, pool: Pool, beat: Callable[[], object], command: str, consent: Container[str],
    notice: Callable[[str], object],
) -> Iterator[set[Path]]:  # fmt: skip
    """Run the open cells at once; yields the folders of those that are left.

    Raises:
        CloneCostError: of the first cell that failed, once the others have ended.
    """
    left, failed = grid.open, dict[int, CloneCostError]()
    yield {one.folder for one in left}
    while left and not failed:
        todo = left if _payer(grid) else left[:1]
        for cell in todo:
            remember(grid.out / cell.folder, cell.spec)
        singles = [
            Single(title=str(cell.folder), spec=cell.spec, folder=grid.out / cell.folder,
                   evaluation_of=_payer(grid))
            for cell in todo
        ]  # fmt: skip
        for place, error in run_singles(singles, pool, beat=beat, command=command, consent=consent):
            if error:
                failed[place] = error
            notice(f"{todo[place].folder} {f'failed: {error.fact}' if error else 'ended'}")
            left = [one for one in left if one.folder != todo[place].folder]
            if not failed:
                yield {one.folder for one in left}
    if failed:
        raise failed[min(failed)]


def _payer(grid: Grid) -> Path | None:
    """The folder of the cell that has paid for the evaluation."""
    return paid_evaluation((grid.out / one.folder for one in grid.cells), grid.evaluation)
