"""The command `clonecost suite`: many audits as one table."""

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from clonecost.cli.audit import app
from clonecost.cli.errors import errors, sentences
from clonecost.cli.list import names
from clonecost.cli.progress_display import Display, write_out
from clonecost.errors import SpecError

if TYPE_CHECKING:  # torch takes a second to import: --help does not wait for it
    from clonecost.audit import Audit, Watcher
    from clonecost.suite import Job, SuiteResults


@app.command()
def suite(
    name: Annotated[str, typer.Argument(
        metavar="NAME|FILE.toml", help="A suite of clonecost's own (`clonecost list suites`), a "
        "file like them, or with --render-only a results file: FILE.json.",
        autocompletion=names("suites"),
    )],
    scale: Annotated[str | None, typer.Option("--scale", metavar="NAME", help="How large the "
                     "cells are, as cpu or paper. [default: the suite's first]")] = None,
    row: Annotated[list[str] | None, typer.Option("--row", help="Run only this row; may be given "
                   "several times.")] = None,
    column: Annotated[list[str] | None, typer.Option("--column", help="Run only this column; may "
                      "be given several times.")] = None,
    seed: Annotated[list[int] | None, typer.Option("--seed", help="Run only this seed; may be "
                    "given several times. [default: the suite's]")] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Run folders and tables "
                   "go to DIR/SCALE. [default: runs/suite-NAME]")] = None,
    plan: Annotated[bool, typer.Option("--plan", "--dry-run", help="Say what it would ask, and "
                    "what is missing. Sends nothing.")] = False,
    render_only: Annotated[bool, typer.Option("--render-only", help="Write the tables from what "
                           "has finished, or from a results file. Runs nothing.")] = False,
    merge: Annotated[Path | None, typer.Option("--merge", metavar="FILE.json", help="With a "
                     "results file: put the cells of this newer one, which were run apart, into "
                     "it.")] = None,
) -> None:  # fmt: skip
    """Run every cell of a table of audits, and write it as Markdown, HTML and JSON.

    The same command goes on where it was stopped. A cell that fails says why in the table, the
    others are run all the same, and the exit status is 2.
    """
    with sentences():
        from clonecost import suite as suites

        if name.endswith(".json"):
            _render(Path(name), out, merge, only=render_only)
            return
        if merge is not None:
            raise SpecError(f"--merge goes with a results file, FILE.json, and {name} is a suite")
        path = suites.find(name)
        found = suites.read_suite(path)
        chosen = scale or next(iter(found.scale))
        folder = out or Path("runs") / f"suite-{path.stem}"
        todo = suites.jobs(
            found, chosen, folder, rows=row or [], columns=column or [], seeds=seed
        )  # fmt: skip
        faults: dict[Path, str] = {}

        def gather() -> "SuiteResults":
            return suites.gather(
                path.stem, found, chosen, folder, seeds=seed or [], faults=faults
            )  # fmt: skip

        if plan:
            _plan(todo)
            return
        if not render_only:
            _run(todo, faults, lambda: suites.write_results(gather(), folder / chosen))
        table = gather()
        suites.write_results(table, folder / chosen)
        write_out(suites.markdown(table))
        errors.print(f"table: {folder / chosen / 'table.html'}", markup=False)
        if faults:
            errors.print(f"{len(faults)} of {len(todo)} runs failed", style="red", markup=False)
            raise typer.Exit(2)


def _plan(todo: "list[Job]") -> None:
    from clonecost.suite import plan_suite

    made = plan_suite(todo)
    grid = Grid(show_header=False, box=None, pad_edge=False)
    for what, fact in made.lines:
        grid.add_row(f"[bold]{escape(what)}[/bold]", escape(fact))
    Console(highlight=False).print(grid)
    for sentence in made.missing:
        errors.print(f"missing: {sentence}", style="yellow", markup=False)


def _run(todo: "list[Job]", faults: dict[Path, str], write: Callable[[], None]) -> None:
    """Every job; `write` brings the table up to date after each that was run."""
    from clonecost.audit import Watcher
    from clonecost.suite import run_suite

    if not todo:
        errors.print("nothing to run: the suite says why in each cell", style="yellow")
    with Display() as display:

        def watch(job: "Job") -> "Callable[[Audit], Watcher]":
            begun = f"{job.title} ({todo.index(job) + 1} of {len(todo)})"

            def of_audit(audit: "Audit") -> "Watcher":
                display.begin(begun)
                return Watcher(spent=display.spent, step=display.step, scored=display.scored)

            return of_audit

        command = shlex.join(["clonecost", *sys.argv[1:]])
        write()  # what stands already, before an hour passes
        for job, result in run_suite(todo, watch=watch, progress=display.step, command=command):
            if isinstance(result, str):
                faults[job.folder] = result
                errors.print(f"{job.title}: {result}", style="red", markup=False)
            write()


def _render(path: Path, out: Path | None, merge: Path | None, *, only: bool) -> None:
    """FILE.md and FILE.html beside a results file, or in `out`; with `merge`, FILE.json anew."""
    from clonecost import suite
    from clonecost.persistence import run_folder

    if not only:
        raise SpecError(f"{path} holds results, not a suite: add --render-only to render it")
    table = suite.read_results(path)
    folder = out or path.parent
    run_folder.make(folder)
    if merge is not None:
        table = suite.merged(table, suite.read_results(merge))
        run_folder.write(folder / path.name, suite.as_text(table))
    text = suite.markdown(table)
    run_folder.write(folder / f"{path.stem}.md", text)
    run_folder.write(folder / f"{path.stem}.html", suite.html(table))
    write_out(text)
    errors.print(f"table: {folder / path.stem}.html", markup=False)
