"""The command `clonecost suite`: many audits as one table."""

import shlex
import sys
from collections.abc import Callable, Container, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table as Grid

from clonecost.cli.audit import app
from clonecost.cli.copies import copied, place_of
from clonecost.cli.errors import Place, errors, in_words, sentences
from clonecost.cli.list import names
from clonecost.cli.live_runs import shown_live
from clonecost.cli.options import Consent, Workers
from clonecost.cli.progress_display import Display
from clonecost.cli.terminal import Terminal, write_out
from clonecost.errors import Advice, CloneCostError, SpecError

if TYPE_CHECKING:  # torch takes a second to import, and `--help` must not
    from clonecost.audit import Audit, Watcher
    from clonecost.persistence.run_store import RunStore
    from clonecost.suite import Job, SuiteResults

    Ended = Iterator[tuple[Job, CloneCostError | None]]


@app.command()
def suite(
    name: Annotated[str, typer.Argument(
        metavar="NAME|FILE.toml", help="A suite in `clonecost list suites`, a suite file, or with "
        "--render-only a results file: FILE.json.",
        autocompletion=names("suites"),
    )],
    scale: Annotated[str | None, typer.Option("--scale", metavar="NAME", help="Size of the cells, "
                     "such as cpu or paper. [default: the suite's first]")] = None,
    row: Annotated[list[str] | None, typer.Option("--row", metavar="NAME", help="Run only this row "
                   "(an attack); several may be given.")] = None,
    column: Annotated[list[str] | None, typer.Option("--column", metavar="NAME", help="Run only "
                      "this column (a victim); several may be given.")] = None,
    seed: Annotated[list[int] | None, typer.Option("--seed", metavar="N", help="Run only this "
                    "seed; several may be given. [default: the suite's]")] = None,
    out: Annotated[str | None, typer.Option("--out", metavar="DIR|ADDRESS", help="Folder of the "
                   "runs and tables, in DIR/SCALE; at an address of fsspec, such as "
                   "s3://BUCKET/DIR, lies a copy of it. [default: runs/suite-NAME]")] = None,
    plan: Annotated[bool, typer.Option("--plan", "--dry-run", help="Print the queries of every "
                    "cell, and what is missing. Sends nothing.")] = False,
    render_only: Annotated[bool, typer.Option("--render-only", help="Write the tables from the "
                           "finished runs, or from a results file. Runs nothing.")] = False,
    merge: Annotated[Path | None, typer.Option("--merge", metavar="FILE.json", help="With a "
                     "results file: add to it the cells of this newer results file.")] = None,
    workers: Workers = "1",
    consent: Consent = None,
) -> None:  # fmt: skip
    """Run a suite, a grid of audits, and write its results as Markdown, HTML and JSON.

    After a stop the same command resumes the suite. A cell that fails has the reason in the
    results; the other cells are run, and the exit status is 2.
    """
    with sentences(place=_place(name)):
        from clonecost import suite as suites

        if name.endswith(".json"):
            _render(Path(name), place_of(out)[0], merge, only=render_only)
            return
        if merge is not None:
            raise SpecError(
                f"--merge needs a results file, FILE.json, and {name} is a suite",
                Advice("leave --merge out"),
            )
        path = suites.find(name)
        definition = suites.read_suite(path)
        chosen = scale or next(iter(definition.scale))
        here, store = place_of(out)
        folder = here or Path("runs") / f"suite-{path.stem}"
        todo = suites.jobs(
            definition, chosen, folder, rows=row or [], columns=column or [], seeds=seed
        )  # fmt: skip
        faults: dict[Path, str] = {}

        def gather() -> "SuiteResults":
            return suites.gather(
                path.stem, definition, chosen, folder, seeds=seed or [], faults=faults
            )  # fmt: skip

        if plan:
            _plan(todo, _place(name))
            return
        with copied(store, works=False):
            if not render_only:
                from clonecost.config import checked_consent

                _run(
                    todo, faults, lambda: suites.write_results(gather(), folder / chosen),
                    _place(name), checked_consent(consent or []), workers, folder / chosen, store,
                )  # fmt: skip
            results = gather()
            suites.write_results(results, folder / chosen)
        write_out(suites.markdown(results))
        errors.print(f"table: {folder / chosen / 'table.html'}", markup=False)
        if faults:
            errors.print(f"{len(faults)} of {len(todo)} runs failed", style="red", markup=False)
            raise typer.Exit(2)


def _place(name: str) -> Place:
    """Keys of a cell are in the suite's file: a suite has none of their flags."""
    return Place(
        flags=("scale", "row", "column", "seed", "out", "consent"), file=f"the suite {name}"
    )


def _plan(todo: "list[Job]", place: Place) -> None:
    from clonecost.suite import plan_suite

    planned = plan_suite(todo, words=lambda error: in_words(error, place))
    grid = Grid(show_header=False, box=None, pad_edge=False)
    for what, fact in planned.lines:
        grid.add_row(f"[bold]{escape(what)}[/bold]", escape(fact))
    Terminal(highlight=False).print(grid)
    for sentence in planned.missing:
        errors.print(f"missing: {sentence}", style="yellow", markup=False)


def _run(
    todo: "list[Job]", faults: dict[Path, str], write: Callable[[], None], place: Place,
    consent: Container[str], workers: str, folder: Path, store: "RunStore | None",
) -> None:  # fmt: skip
    """Run every job; `write` updates the results' files in the folder now and then."""
    from clonecost.suite.seldom import seldom

    if not todo:
        errors.print("nothing to run: each cell of the table has the reason", style="yellow")
    command = shlex.join(["clonecost", *sys.argv[1:]])
    often = seldom(write)
    often()  # the runs that finished earlier: the first job may take hours
    run = _one_by_one if workers == "1" else partial(_at_once, workers=workers, folder=folder)
    try:
        for job, error in run(
            todo, command=command, consent=consent, where=place.file, store=store
        ):
            if error is not None:
                faults[job.folder] = error.fact
                errors.print(f"{job.title}: {in_words(error, place)}", style="red", markup=False)
            often()
    finally:
        write()


def _one_by_one(todo: "list[Job]", **settings: Any) -> "Ended":
    from clonecost.audit import Watcher
    from clonecost.suite import run_suite

    with Display() as display:

        def watch(job: "Job") -> "Callable[[Audit], Watcher]":
            title = f"{job.title} ({todo.index(job) + 1} of {len(todo)})"

            def of_audit(audit: "Audit") -> "Watcher":
                display.begin(title)
                return Watcher(spent=display.spent, step=display.step, scored=display.scored)

            return of_audit

        yield from run_suite(todo, watch=watch, progress=display.step, **settings)


def _at_once(todo: "list[Job]", *, workers: str, folder: Path, **settings: Any) -> "Ended":
    """On a terminal the runs of the folder are shown as `watch` shows them."""
    from clonecost.suite import run_at_once
    from clonecost.workers import pool_of

    pool = pool_of(workers)
    with shown_live(folder) as beat:
        runs = run_at_once(todo, pool, beat=beat, **settings)
        for ended, (job, error) in enumerate(runs, 1):
            errors.print(f"{job.title}: ended ({ended} of {len(todo)})", markup=False)
            yield job, error


def _render(path: Path, out: Path | None, merge: Path | None, *, only: bool) -> None:
    """Write FILE.md and FILE.html beside a results file or in `out`; with `merge`, FILE.json."""
    from clonecost import suite
    from clonecost.persistence import run_folder

    if not path.is_file():
        raise SpecError(f"There is no file {path}", Advice("check the path"))
    if not only:
        raise SpecError(
            f"{path} holds results, not a suite", Advice("add --render-only to render them")
        )
    results = suite.read_results(path)
    folder = out or path.parent
    run_folder.make(folder)
    if merge is not None:
        results = suite.merged(results, suite.read_results(merge))
        run_folder.write(folder / path.name, suite.as_text(results))
    text = suite.markdown(results)
    run_folder.write(folder / f"{path.stem}.md", text)
    run_folder.write(folder / f"{path.stem}.html", suite.html(results))
    write_out(text)
    errors.print(f"table: {folder / path.stem}.html", markup=False)
