"""The display of an audit while it runs: bars on a terminal, plain lines anywhere else."""

from types import TracebackType
from typing import TYPE_CHECKING

from rich.markup import escape

from clonecost.cli.terminal import Sentences

if TYPE_CHECKING:  # `--help` loads neither bars nor torch
    from rich.progress import TaskID

    from clonecost.result import Score


class Display:
    """Shows queries spent and left, the agreement at the last milestone, and the time left.

    Everything goes to standard error: standard output belongs to results.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.console = Sentences(stderr=True, quiet=quiet, highlight=False)
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[counted]}"),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(compact=True),
            console=self.console,
            disable=not self.console.is_terminal,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._printed: dict[str, int] = {}  # step -> the last fifth that has its line
        self._price: float | None = None
        self._rate: float | None = None

    def __enter__(self) -> "Display":
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def begin(self, title: str, *, price: float | None = None, rate: float | None = None) -> None:
        """Start the display of an audit; its bars replace those of the audit before.

        Args:
            price: USD per 1,000 rows, to show the cost.
            rate: the most rows per second that an endpoint gets, to show the time left.
        """
        self._price, self._rate = price, rate
        for task in self._tasks.values():
            self._bars.remove_task(task)
        self._tasks.clear()
        self._printed.clear()
        self.console.print(f"[bold]{escape(title)}[/bold]")

    def spent(self, spent: int, budget: int) -> None:
        """Show the rows paid for so far."""
        cost = "" if self._price is None else f" (${spent * self._price / 1000:,.2f})"
        left, time_left = budget - spent, ""
        if self._rate and left:
            from clonecost.report.number_format import duration

            time_left = f", at least {duration(left / self._rate)}"
        self._show("queries", spent, budget, f"{spent:,} spent{cost}, {left:,} left{time_left}")

    def step(self, what: str, done: int, total: int) -> None:
        """Show another long step: its name, the parts done, the parts in all."""
        self._show(what, done, total, f"{done:,}/{total:,}")

    def scored(self, score: "Score") -> None:
        """Show a milestone's score: the agreement beside the bar, and a line that stays."""
        from clonecost.result import percent

        agreement, accuracy = score.agreement, score.accuracy
        text = (
            f"  {score.queries:>10,} queries: agreement {agreement}, "
            f"chance-corrected {percent(score.corrected_agreement.value)}, "
            f"accuracy {percent(accuracy.value) if accuracy else 'not known'}"
        )
        if "queries" in self._tasks:
            note = f"agreement {percent(agreement.value)} at {score.queries:,}"
            self._bars.update(self._tasks["queries"], note=note)
        self.console.print(text, soft_wrap=True)

    def notice(self, sentence: str) -> None:
        """Print a warning; the audit goes on."""
        self.console.print(sentence, style="yellow", markup=False, soft_wrap=True)

    def _show(self, what: str, done: int, total: int, counted: str) -> None:
        if not self.console.is_terminal:
            self._line(what, done, total, counted)
            return
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, counted="", note="")
        task = self._tasks[what]
        finished = done >= total and what != "queries"
        self._bars.update(task, completed=done, total=total, counted=counted, visible=not finished)

    def _line(self, what: str, done: int, total: int, counted: str) -> None:
        """Without a terminal: print one line for every fifth of a step."""
        fifth = 5 * done // max(1, total)
        if done and self._printed.get(what) != fifth:
            self._printed[what] = fifth
            self.console.print(f"  {what}: {counted}", markup=False, soft_wrap=True)
