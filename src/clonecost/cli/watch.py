"""The command `clonecost watch`: runs as they go on, in the terminal or as a page."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from clonecost.cli.audit import app
from clonecost.cli.errors import errors, sentences
from clonecost.cli.live_runs import live_table
from clonecost.cli.options import AsJson
from clonecost.cli.terminal import Terminal, write_out
from clonecost.errors import Advice, SpecError


@app.command()
def watch(
    folder: Annotated[Path, typer.Argument(metavar="RUN|FOLDER", help="A run folder, or a folder "
                                           "with run folders in it, at any depth.")],
    once: Annotated[bool, typer.Option("--once", help="Show the runs as they stand, and end.")]
    = False,
    every: Annotated[float, typer.Option("--every", metavar="SECONDS", min=0.1,
                                         help="Between two looks.")] = 2.0,
    port: Annotated[int | None, typer.Option("--port", metavar="N", min=0, max=65535, help="Show a "
                    "page at this port of this machine instead; 0 takes a free one. Needs `pip "
                    "install 'clonecost[serve]'`.")] = None,
    tensorboard: Annotated[Path | None, typer.Option("--tensorboard", metavar="DIR", help="Write "
                           "the values to this folder for TensorBoard, as they come. Needs `pip "
                           "install 'clonecost[tensorboard]'`.")] = None,
    mlflow: Annotated[str | None, typer.Option("--mlflow", metavar="ADDRESS", help="Write the "
                      "values to this server of MLflow, or to a file: or sqlite: address, as they "
                      "come. Needs `pip install 'clonecost[mlflow]'`.")] = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Show runs while they go on: rows, cost, agreement, rows a second, time left.

    Reads run folders only, also those that other machines write. Ends when no run goes on.
    """
    with sentences():
        from clonecost.report.live import live_runs

        runs = live_runs(folder)
        if tensorboard is not None or mlflow is not None:
            _track(folder, every, tensorboard, mlflow, once)
            return
        if port is not None:
            _serve(folder, port, every)
            return
        if as_json:
            write_out(json.dumps([asdict(run) for run in runs], indent=2) + "\n")
            return
        console = Terminal(highlight=False)
        if once or not console.is_terminal:
            console.print(live_table(runs))
            return
        from rich.live import Live

        with Live(live_table(runs), console=console, auto_refresh=False) as shown:
            while any(run.state == "running" for run in runs):
                time.sleep(every)
                runs = live_runs(folder)
                shown.update(live_table(runs), refresh=True)


def _track(
    folder: Path, every: float, tensorboard: Path | None, mlflow: str | None, once: bool
) -> None:
    """Write what is new, until no run goes on."""
    from clonecost.report.live import live_runs, named_runs
    from clonecost.report.trackers import MLflow, TensorBoard, Tracker, follow

    trackers: list[Tracker] = []
    if tensorboard is not None:
        trackers.append(TensorBoard(tensorboard))
    if mlflow is not None:
        trackers.append(MLflow(mlflow))
    values = 0
    while True:
        running = any(run.state == "running" for run in live_runs(folder))
        values += sum(follow(named_runs(folder), tracker) for tracker in trackers)
        if once or not running:  # looked at before: what it wrote last is written
            break
        time.sleep(every)
    runs = len(named_runs(folder))
    write_out(f"{values:,} new values of {runs:,} run{'s' if runs > 1 else ''}\n")


def _serve(folder: Path, port: int, every: float) -> None:
    try:
        from clonecost import serving
    except ModuleNotFoundError as error:
        raise SpecError(
            f"The page needs the package {error.name}, which is not installed",
            Advice("run `pip install 'clonecost[serve]'`"),
        ) from error
    with serving.bind("127.0.0.1", port) as listening:
        write_out(f"{serving.address_of(listening)}/\n")
        errors.print("Ctrl-C stops the page; /runs.json has the same as data", markup=False)
        serving.run(serving.live_page(folder, every), listening, serving.Limits())
