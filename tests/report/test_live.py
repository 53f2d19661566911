"""Runs at a moment: what their events say, and what they do not."""

import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from clonecost.errors import RunError
from clonecost.persistence import event_file
from clonecost.persistence.run_folder import EVENTS, LEDGER
from clonecost.report.html import live_page
from clonecost.report.live import LiveRun, live_runs, totals


def begun(folder: Path, process: int | None = None, host: str | None = None) -> Path:
    """A run folder whose audit has begun."""
    folder.mkdir(parents=True)
    (folder / LEDGER).touch()
    event_file.append(
        folder, "begin", attack="dfme", victim="<b>mine", budget=1_000, price=2.0, seed=0,
        process=process or os.getpid(), host=host or socket.gethostname(),
    )  # fmt: skip
    return folder


def only(path: Path, now: datetime | None = None) -> LiveRun:
    (run,) = live_runs(path, now)
    return run


def at(folder: Path, seconds: int, rows: int) -> None:
    """An event of that many seconds ago."""
    event_file.append(folder, "spent", rows=rows, budget=1_000)
    path = folder / EVENTS
    *before, line = path.read_text().splitlines()
    time = datetime.now(UTC) - timedelta(seconds=seconds)
    line = line.replace(line[10:39], time.isoformat(timespec="milliseconds"))
    path.write_text("\n".join([*before, line, ""]))


def test_a_run_that_goes_on(tmp_path: Path) -> None:
    run = begun(tmp_path / "runs" / "column" / "seed0")
    for seconds, rows in ((500, 10), (60, 100), (40, 300)):
        at(run, seconds, rows)
    event_file.append(run, "scored", queries=300, agreement=0.8, low=0.7, high=0.9)
    event_file.append(run, "step", what="training", done=3, total=10)
    seen = only(tmp_path / "runs")
    assert (seen.name, seen.title) == ("column/seed0", "dfme on <b>mine")
    assert (seen.state, seen.rows, seen.cost) == ("running", 300, 0.6)
    assert seen.rate == pytest.approx(10, abs=0.1)  # of the last two minutes
    assert seen.left == pytest.approx(70, abs=1)
    assert seen.agreement == "80 % (70 to 90 %) at 300"
    assert seen.doing == "training: 3 of 10"
    page = live_page("runs", [seen], 2.0)
    assert "&lt;b&gt;mine" in page
    assert 'content="2.0"' in page


def test_how_a_run_ends_is_told(tmp_path: Path) -> None:
    event_file.append(begun(tmp_path / "a"), "end", rows=1_000)
    event_file.append(begun(tmp_path / "b"), "stop", rows=5, why="The disk is full")
    begun(tmp_path / "c", process=2**22 + 1)
    begun(tmp_path / "d", process=2**22 + 1, host="another.machine")
    (begun(tmp_path / "e") / EVENTS).unlink()
    runs = live_runs(tmp_path)
    states = [run.state for run in runs]
    assert states == ["finished", "stopped", "killed", "running", "unknown"]
    assert runs[1].doing == "The disk is full"
    assert totals(runs) == (
        "1 finished, 1 stopped, 1 killed, 1 running, 1 unknown; 1,005 rows, $2.01"
    )
    begun_again = runs[0]
    event_file.append(
        tmp_path / "a", "begin", attack="dfme", victim="m", budget=2_000, price=None, seed=0,
        process=os.getpid(), host=socket.gethostname(),
    )  # fmt: skip
    again = live_runs(tmp_path)[0]
    assert (begun_again.state, again.state, again.budget) == ("finished", "running", 2_000)


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no run"):
        live_runs(tmp_path)
    with pytest.raises(RunError, match="is not a folder"):
        live_runs(tmp_path / "none")
