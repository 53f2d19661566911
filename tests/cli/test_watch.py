"""`clonecost watch` beside an audit."""

import json
from pathlib import Path

import pytest
from tests.support.cli_runs import MINE, QUICK, run


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
