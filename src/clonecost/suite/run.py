"""Run the cells of a suite as ordinary run folders, and gather their results."""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from clonecost.config import Spec, asking_for, not_consented
from clonecost.errors import CloneCostError, SetKey, SpecError, suggest
from clonecost.persistence import run_folder
from clonecost.persistence.run_store import RunStore
from clonecost.result import Result
from clonecost.suite import render
from clonecost.suite.definition import Cell, Row, Suite, cells, scale_of
from clonecost.suite.merging import changed_victim
from clonecost.suite.results import (
    Paper,
    RowCard,
    SuiteResults,
    as_text,
    make_cell,
    make_column,
)
from clonecost.types import Progress, no_progress
from clonecost.workers import Pool
from clonecost.workflows.agreements import Either, remembered
from clonecost.workflows.apart import Single, run_apart, run_singles
from clonecost.workflows.run import Watch, finished

RESULTS, MARKDOWN, PAGE = "results.json", "table.md", "table.html"
NOT_YET, NO_AUDIT = "not yet", "no audit of this victim yet"
Faults = Mapping[Path, str]  # run folder -> why its run failed


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of a cell: a spec with one seed, and its folder."""

    cell: Cell
    spec: Spec
    folder: Path

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return self.spec.seed[0]

    @property
    def title(self) -> str:
        """Victim, attack and seed in words."""
        return f"{self.cell.column.title} · {self.cell.row.title}, seed {self.seed}"

    def result(self) -> Result | None:
        """The result of this spec's finished run; None if it has not finished."""
        return finished(self.folder, self.spec)


def jobs(
    suite: Suite, scale: str, out: Path, *, rows: Sequence[str] = (), columns: Sequence[str] = (),
    seeds: Sequence[int] | None = None,
) -> list[Job]:  # fmt: skip
    """The runs of the chosen rows and columns, cell by cell; no names choose all of them.

    Raises:
        SpecError: the suite does not have a row or column of that name.
    """
    for what, given, parts in (("row", rows, suite.row), ("column", columns, suite.column)):
        known = [part.name for part in parts]
        for name in given:
            if name not in known:
                raise SpecError(suggest(what, name, known), SetKey(what))
    return [
        job
        for cell in cells(suite, scale, seeds)
        if (not rows or cell.row.name in rows) and (not columns or cell.column.name in columns)
        if not cell.not_run
        for job in _jobs(cell, out / scale)
    ]


def _jobs(cell: Cell, folder: Path) -> list[Job]:
    if cell.spec is None:
        return []
    place = folder / cell.column.name / cell.row.name
    return [
        Job(
            cell=cell, spec=cell.spec.model_copy(update={"seed": [seed]}),
            folder=place / f"seed{seed}",
        )
        for seed in cell.spec.seed
    ]  # fmt: skip


def run_suite(
    todo: Sequence[Job], *, watch: Callable[[Job], Watch], progress: Progress = no_progress,
    command: str = "", consent: Container[str] = (), where: str = "The suite",
    store: RunStore | None = None,
) -> Iterator[tuple[Job, CloneCostError | None]]:  # fmt: skip
    """Run the unfinished jobs in order; yields each job, and why it failed if it did.

    A job that fails does not stop the others; Ctrl-C does, and the same call resumes the suite.

    Args:
        consent: what the person agreed to, as KIND:WHAT; what was agreed to for a job's folder
            holds.
        where: what holds the suite, for the message that asks for consent.
        store: where copies of the folders lie, see `run_singles`.

    Raises:
        ConsentError: a job would run or contact what the person has not agreed to; no job was run.
    """
    must_agree(todo, consent, where)
    for job in todo:
        yield (
            job,
            run_apart(
                job.spec, job.folder, watch=watch(job), progress=progress, command=command,
                consent=consent, store=store,
            ),
        )  # fmt: skip


def must_agree(todo: Sequence[Job], consent: Container[str], where: str) -> None:
    """Refuse jobs that would run or contact what the person has not agreed to.

    Raises:
        ConsentError: with all that is lacking.
    """
    left = [
        one
        for job in todo
        if job.result() is None
        for one in not_consented(job.spec, Either(consent, remembered(job.folder, job.spec)))
    ]
    if left:
        raise asking_for(left, where=where)


def run_at_once(
    todo: Sequence[Job], pool: Pool, *, beat: Callable[[], object] = lambda: None,
    command: str = "", consent: Container[str] = (), where: str = "The suite",
    store: RunStore | None = None,
) -> Iterator[tuple[Job, CloneCostError | None]]:  # fmt: skip
    """Run the unfinished jobs in a pool; yields each as it ends, and why it failed.

    Args:
        beat: called about once a second in this process, to show what goes on.
        consent, where, store: as for `run_suite`; the consent has to be picklable.

    Raises:
        ConsentError: a job would run or contact what the person has not agreed to; no job was run.
    """
    must_agree(todo, consent, where)
    singles = [Single(title=job.title, spec=job.spec, folder=job.folder) for job in todo]
    for place, error in run_singles(
        singles, pool, beat=beat, command=command, consent=consent, store=store
    ):
        yield todo[place], error


# -- the table -----------------------------------------------------------------------------------


def gather(
    name: str, suite: Suite, scale: str, out: Path, *, seeds: Sequence[int] = (),
    faults: Faults | None = None,
) -> SuiteResults:  # fmt: skip
    """The results of the finished runs under `out`.

    Args:
        seeds: further seeds than the suite's own.
        faults: run folders of failed runs -> the reason, which the cells then contain.
    """
    chosen = scale_of(suite, scale)
    suite_cells = cells(suite, scale, sorted({*(chosen.seeds or suite.seeds), *seeds}))
    results = {
        (cell.row.name, cell.column.name): {
            job.seed: job.result() for job in _jobs(cell, out / scale) if not cell.not_run
        }
        for cell in suite_cells
    }
    of_column = {
        column.name: [
            result
            for row in suite.row
            for result in results.get((row.name, column.name), {}).values()
            if result
        ]
        for column in suite.column
    }
    cards = []
    for cell in suite_cells:
        by_seed = results[cell.row.name, cell.column.name]
        why = cell.not_run or _missing(cell, by_seed, out / scale, faults or {})
        if cell.row.teacher and not of_column[cell.column.name]:
            why = NO_AUDIT
        cards.append(make_cell(
            cell.column.name, cell.row.name, [result for result in by_seed.values() if result],
            spec=_spec_card(cell.spec), not_run=why, paper=_paper(suite, cell),
        ))  # fmt: skip
    return SuiteResults(
        name=name, title=suite.title, note=suite.note, scale=scale, scale_title=chosen.title,
        scale_note=chosen.note, agreement=suite.agreement, cells=cards,
        columns=[make_column(c.name, c.title, of_column[c.name]) for c in suite.column],
        rows=[_row_card(row) for row in suite.row],
        warnings=[w for c in suite.column for w in _warnings(c.title, of_column[c.name])],
    )  # fmt: skip


def write_results(results: SuiteResults, folder: Path) -> None:
    """Write results.json, table.md and table.html into `folder`, each replaced atomically."""
    run_folder.make(folder)
    run_folder.write(folder / RESULTS, as_text(results))
    run_folder.write(folder / MARKDOWN, render.markdown(results))
    run_folder.write(folder / PAGE, render.html(results))


def _missing(
    cell: Cell, results: Mapping[int, Result | None], folder: Path, faults: Faults
) -> str | None:
    """Why seeds have no run: each reason once, with its seeds unless it applies to all."""
    place = folder / cell.column.name / cell.row.name
    reasons = {
        seed: faults.get(place / f"seed{seed}", NOT_YET)
        for seed, result in results.items()
        if result is None
    }
    different = list(dict.fromkeys(reasons.values()))
    if len(different) == 1 and len(reasons) == len(results):
        return different[0]
    lines = []
    for reason in different:
        seeds = [str(seed) for seed, why in reasons.items() if why == reason]
        lines.append(f"seed{'s' if len(seeds) > 1 else ''} {', '.join(seeds)}: {reason}")
    return "; ".join(lines) or None


def _spec_card(spec: Spec | None) -> dict[str, JsonValue] | None:
    """The keys of the spec, without the seed and without those of this machine only."""
    if spec is None:
        return None
    return spec.model_dump(
        mode="json", exclude={"seed", "data", "keep"}, exclude_none=True, exclude_defaults=True
    )


def _paper(suite: Suite, cell: Cell) -> Paper | None:
    number = cell.row.paper.get(cell.column.name)
    if number is None:
        return None
    value, spread = number if isinstance(number, list) else (number, None)
    return Paper(accuracy=value, plus_minus=spread, source=cell.row.source or suite.source)


def _row_card(row: Row) -> RowCard:
    return RowCard(
        name=row.name, title=row.title, ours=row.ours, white_box=row.white_box,
        teacher=row.teacher, columns=row.columns,
    )  # fmt: skip


def _warnings(column: str, results: Sequence[Result]) -> Iterator[str]:
    """Why the rows of a column cannot be compared."""
    if len({result.victim.weights for result in results}) > 1:
        yield changed_victim(column)
