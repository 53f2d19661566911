"""Runs as they stand at this moment, finished or not: read from their folders alone.

So it works on the shared disk of a cluster, while other processes write. `persistence.event_file`
says what is read.
"""

import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypeGuard

from clonecost.errors import Advice, RunError
from clonecost.persistence.event_file import Event, read
from clonecost.persistence.run_folder import is_run
from clonecost.report.number_format import duration, percent, percent_range, usd

State = Literal["running", "finished", "stopped", "killed", "unknown"]

WINDOW = timedelta(minutes=2)  # over which rows per second are measured
DEPTH = 6  # folders below the one that is named: a suite has four
COLUMNS = ("run", "state", "rows", "cost", "agreement", "rows/s", "left", "last sign")


@dataclass(frozen=True)
class LiveRun:
    """A run at a moment.

    Attributes:
        name: the folder, relative to the one that is watched.
        state: killed: its process ended without a word, as far as this machine can see.
        rows, budget: of the attack; the owner's test rows are not among them.
        cost: USD; None: no price was given.
        agreement: with its interval, at the last milestone; "" before the first.
        rate: rows per second in the last two minutes of the run; None: not known.
        doing: the last long step, or why the run was stopped.
        quiet: seconds since the last event; None: there is none.
    """

    name: str
    title: str
    state: State
    rows: int = 0
    budget: int = 0
    cost: float | None = None
    agreement: str = ""
    rate: float | None = None
    doing: str = ""
    quiet: float | None = None

    @property
    def left(self) -> float | None:
        """Seconds until the budget is spent at this rate; training comes on top."""
        if self.state != "running" or not self.rate:
            return None
        return (self.budget - self.rows) / self.rate

    def cells(self) -> tuple[str, ...]:
        """One text for each of `COLUMNS`."""
        spent = ""
        if self.budget:
            share = percent(self.rows / self.budget)
            spent = f"{self.rows:,}/{self.budget:,} ({share})"
        return (
            self.name, self.state, spent,
            "" if self.cost is None else usd(self.cost), self.agreement,
            f"{self.rate:,.0f}" if self.rate and self.state == "running" else "",
            "" if self.left is None else f"≥ {duration(self.left)}",
            "" if self.quiet is None or self.state != "running" else f"{duration(self.quiet)} ago",
        )  # fmt: skip


def live_runs(path: Path, now: datetime | None = None) -> list[LiveRun]:
    """The runs in a folder and in the folders below it, sorted by name.

    Raises:
        RunError: the folder does not exist, or holds no run.

    Example:
        >>> [run.state for run in live_runs(Path("runs"))]  # doctest: +SKIP
        ['finished', 'running']
    """
    now = now or datetime.now(UTC)
    return [_live(name, folder, now) for name, folder in named_runs(path)]


def named_runs(path: Path) -> list[tuple[str, Path]]:
    """The run folders in a folder and in those below it, each with its name there.

    Raises:
        RunError: the folder does not exist, or holds no run.
    """
    if not path.is_dir():
        raise RunError(
            f"{path} is not a folder.", Advice("name a run folder, or one that has some")
        )
    found = [
        (folder.name if folder == path else str(folder.relative_to(path)), folder)
        for folder in _runs(path, DEPTH)
    ]
    if not found:
        raise RunError(
            f"{path} holds no run, nor does a folder in it.",
            Advice("name the folder that `--out` names"),
        )
    return found


def totals(runs: Sequence[LiveRun]) -> str:
    """One line about all of them."""
    states = [run.state for run in runs]
    counts = ", ".join(f"{states.count(one)} {one}" for one in dict.fromkeys(states))
    costs = [run.cost for run in runs if run.cost is not None]
    money = f", {usd(sum(costs))}" if costs else ""
    return f"{counts}; {sum(run.rows for run in runs):,} rows{money}"


def _runs(path: Path, depth: int) -> Iterator[Path]:
    if is_run(path):
        yield path
    elif depth:
        for folder in sorted(path.iterdir()):
            if folder.is_dir() and not folder.is_symlink():
                yield from _runs(folder, depth - 1)


def _live(name: str, folder: Path, now: datetime) -> LiveRun:
    events: list[Event] = []
    begin: Event = {}
    agreement = ""
    for event in read(folder):
        if event["event"] == "begin":  # a session of its own: rates do not reach over the pause
            begin, events = event, []
        elif event["event"] == "scored":
            agreement = _agreement(event)
        events.append(event)
    if not begin:
        return LiveRun(name, "", "unknown", doing="it has no events")
    last, rows = events[-1], [e for e in events if isinstance(e.get("rows"), int)]
    spent = rows[-1]["rows"] if rows else 0
    price = begin.get("price")
    return LiveRun(
        name, f"{begin.get('attack')} on {begin.get('victim')}", _state(begin, last), spent,
        _number(begin.get("budget")), spent * price / 1000 if _is_number(price) else None,
        agreement, _rate(rows), _doing(last), (now - last["time"]).total_seconds(),
    )  # fmt: skip


def _agreement(event: Event) -> str:
    value, low, high = (event.get(key) for key in ("agreement", "low", "high"))
    if not (_is_number(value) and _is_number(low) and _is_number(high)):
        return ""
    return f"{percent(value)} ({percent_range(low, high)}) at {_number(event.get('queries')):,}"


def _state(begin: Event, last: Event) -> State:
    if last["event"] == "end":
        return "finished"
    if last["event"] == "stop":
        return "stopped"
    process = begin.get("process")
    here = begin.get("host") == socket.gethostname() and isinstance(process, int)
    return "killed" if here and not _alive(process) else "running"


def _alive(process: Any) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError, ValueError):
        return False
    except OSError:  # of another user
        return True
    return True


def _rate(rows: Sequence[Event]) -> float | None:
    recent = [event for event in rows if rows[-1]["time"] - event["time"] <= WINDOW]
    if len(recent) < 2:
        return None
    seconds = (recent[-1]["time"] - recent[0]["time"]).total_seconds()
    return (recent[-1]["rows"] - recent[0]["rows"]) / seconds if seconds > 0 else None


def _doing(last: Event) -> str:
    if last["event"] == "step":
        return (
            f"{last.get('what')}: {_number(last.get('done')):,} of {_number(last.get('total')):,}"
        )
    return str(last.get("why", "")) if last["event"] == "stop" else ""


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float)
