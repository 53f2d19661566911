"""The table of runs as they go on, and how a command shows it while it waits for them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table

from clonecost.cli.errors import errors
from clonecost.errors import RunError

if TYPE_CHECKING:
    from clonecost.report.live import LiveRun

FOLDED = (0, 4, 6, 7)  # columns: the run's name, the agreement, the times


@contextmanager
def shown_live(folder: Path) -> "Iterator[Callable[[], None]]":
    """The runs of a folder on a terminal, renewed by each call of what the `with` gives."""
    from rich.live import Live

    from clonecost.report.live import live_runs

    with Live(console=errors, auto_refresh=False, transient=True) as shown:

        def beat() -> None:
            if errors.is_terminal:
                with suppress(RunError):  # none has begun
                    shown.update(live_table(live_runs(folder)), refresh=True)

        yield beat


def said_above(sentence: str) -> None:
    """Print a sentence; the runs that are shown live stay below it."""
    errors.print(sentence, markup=False, soft_wrap=True)


def live_table(runs: "Sequence[LiveRun]") -> Group:
    """A table of runs, then what each of them does, then the totals."""
    from rich.text import Text

    from clonecost.report.live import COLUMNS, totals

    rows = [run.cells() for run in runs]
    shown = [k for k in range(len(COLUMNS)) if any(cells[k] for cells in rows)]
    table = Table(box=None, pad_edge=False)
    for k in shown:  # a narrow terminal folds the longest texts, and cuts no number
        table.add_column(COLUMNS[k], no_wrap=k not in FOLDED, overflow="fold")
    for cells in rows:
        table.add_row(*(Text(cells[k]) for k in shown))
    doing = [Text(f"{run.name}: {run.doing}", style="dim") for run in runs if run.doing]
    return Group(table, *doing, Text(totals(runs)))
