"""The command `defend`: parse, call, print."""

import shlex
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from clonecost.cli.audit import app
from clonecost.cli.copies import of_this_machine
from clonecost.cli.errors import errors, sentences
from clonecost.cli.list import names
from clonecost.cli.live_runs import said_above, shown_live
from clonecost.cli.options import AsJson, Consent, Workers, takes_keys
from clonecost.cli.progress_display import Display
from clonecost.cli.terminal import Terminal, write_out
from clonecost.cli.to_config import consent_of_keys, spec_of_keys
from clonecost.config.key import form
from clonecost.config.schema import Spec
from clonecost.errors import DropKey, SpecError

# A grid sets these itself, or has no use for them.
NOT_OF_A_GRID = ("defence", "counter", "access", "controls")
KEYS = [
    name for name, field in Spec.model_fields.items()
    if form(field) != "table" and name not in NOT_OF_A_GRID
]  # fmt: skip


@app.command()
@takes_keys(Spec, *KEYS)
def defend(
    keys: dict[str, Any],
    defence: Annotated[
        list[str] | None,
        typer.Option("--defence", metavar="NAME[:KEY=VALUE,...]", autocompletion=names("defences"),
                     help="A row of the grid (`clonecost list defences`). Several values of a "
                     "setting, as in rounding:decimals=1,2,3, are a row each; A+B applies both, A "
                     "closer to the victim."),
    ] = None,
    counter: Annotated[
        list[str] | None,
        typer.Option("--counter", metavar="NAME[:KEY=VALUE,...]",
                     autocompletion=names("countermeasures"),
                     help="An attacker for every defence, beside those that it is paired with "
                     "(`clonecost list countermeasures`)."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER", parser=of_this_machine,
                     help="Folder of the grid. [default: runs/VICTIM-ATTACK-defences]"),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the runs, queries and hours; send nothing.")
    ] = False,
    as_json: AsJson = False,
    consent: Consent = None,
    workers: Workers = "1",
) -> None:  # fmt: skip
    """Compare defences by the attackers who know them, and by what they cost the users.

    Two rows come first: no defence, and labels only, which is the floor. The same command goes on
    after a kill; finished runs are not run again.
    """
    with sentences():
        spec = spec_of_keys(keys)
        for name in NOT_OF_A_GRID:  # from a file
            if getattr(spec, name) != Spec.model_fields[name].get_default():
                raise SpecError(f"A grid of defences sets `{name}` itself", DropKey(name))
        agreed = consent_of_keys(spec, keys, consent)
        from clonecost.config import default_out

        texts, counters = defence or [], counter or []
        usual = default_out(spec.model_copy(update={"defence": texts}))
        folder = out or usual.with_name(f"{usual.name}-defences")
    _run(spec, texts, counters, folder, keys["victim"], agreed, dry_run, as_json, workers)


def _run(
    spec: Spec, texts: list[str], counters: list[str], folder: Path, where: str, agreed: Any,
    dry_run: bool, as_json: bool, workers: str,
) -> None:  # fmt: skip
    from clonecost import report as pages
    from clonecost.audit import Watcher
    from clonecost.persistence import run_folder
    from clonecost.report.defence_table import BRIEF, brief_rows, summary
    from clonecost.workers import pool_of
    from clonecost.workflows.defend import prepare, preview, run_grid
    from clonecost.workflows.grid_cells import Cell

    with sentences(), Display() as display:
        grid = prepare(
            spec, texts, folder, counters=counters, progress=display.step, consent=agreed,
            where=where,
        )  # fmt: skip
        if dry_run:
            lines = preview(grid)
        else:

            def watch(cell: Cell) -> Watcher:
                display.begin(str(cell.folder), price=spec.price, rate=spec.rate)
                return Watcher(spent=display.spent, step=display.step, notice=display.notice)

            if not grid.open:
                errors.print("the grid has finished already: nothing was run again", markup=False)
            command = shlex.join(["clonecost", *sys.argv[1:]])
            pool = None if workers == "1" else pool_of(workers)
            with nullcontext(lambda: None) if pool is None else shown_live(folder) as beat:
                *_, found = run_grid(
                    grid, watch=watch, command=command, consent=agreed, where=where,
                    notice=said_above if pool else display.notice, pool=pool, beat=beat,
                )  # fmt: skip
            runs = pages.load_runs([folder / cell.folder for cell in grid.cells])
            documents = pages.Documents(grid=found)
            run_folder.write(folder / "report.html", pages.html(runs, documents))
    if dry_run:
        _print(None, list(lines))
        return
    if as_json:
        write_out(found.model_dump_json(indent=2) + "\n")
    else:
        _print(BRIEF, brief_rows(found))
        for sentence in summary(found):
            write_out(sentence + "\n")
    errors.print(f"grid: {folder / 'defences.json'}", markup=False)
    errors.print(f"report: {folder / 'report.html'}", markup=False)


def _print(header: tuple[str, ...] | None, rows: list[tuple[str, ...]]) -> None:
    table = Table(show_header=header is not None, box=None, pad_edge=False)
    for name in header or ():
        table.add_column(name)
    for row in rows:
        first = escape(row[0]) if header else f"[bold]{escape(row[0])}[/bold]"
        table.add_row(first, *map(escape, row[1:]))
    Terminal(highlight=False).print(table)
