"""`clonecost watch` beside an audit."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from tests.support.cli_runs import MINE, QUICK, run

from clonecost.cli.live_runs import live_table
from clonecost.report.live import LiveRun


def test_a_finished_audit_is_watched(
    bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bench)
    monkeypatch.setenv("OWN_LOG", str(tmp_path / "asked"))
    out = tmp_path / "runs" / "one"
    run("audit", *MINE, *QUICK, "--budget", "60", "--out", out, "--price", "1.5")
    (seen,) = json.loads(run("watch", tmp_path / "runs", "--json").out)
    assert (seen["state"], seen["rows"], seen["cost"]) == ("finished", 60, 0.09)
    assert "at 60" in seen["agreement"]
    said = run("watch", tmp_path / "runs")
    assert "1 finished; 60 rows, $0.09" in said.out
    assert run("verify", out).err.count("events") == 0
    wrong = run("watch", tmp_path / "nothing")
    assert wrong.status == 2
    assert "is not a folder" in wrong.err


def test_a_narrow_terminal_cuts_no_word_and_no_number() -> None:
    run = LiveRun("column/row/seed0", "", "running", rows=1_280, budget=40_000, cost=1.28,
                  agreement="19 % (16 to 22 %) at 800", rate=120.0, quiet=3.0)  # fmt: skip
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(live_table([run]))
    said = console.export_text()
    assert "\N{HORIZONTAL ELLIPSIS}" not in said
    assert "running" in said
    assert "1,280/40,000 (3 %)" in said
