"""`clonecost defend`: a grid from a command to its document, and again after a kill."""

import json
import shutil
from pathlib import Path

import pytest
from tests.support.cli_runs import MINE, run
from tests.support.pools import backwards

from clonecost.result import read_result
from clonecost.result.defence_grid import read_defence_grid
from clonecost.workflows.verify import verify

GRID = ["defend", *MINE, "--defence", "temperature", "--budget", "50", "--milestones", "20",
        "--set", "knockoff.epochs=1"]  # fmt: skip


def test_a_grid_is_measured_once_and_goes_on_after_a_kill(
    bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bench)
    asked = tmp_path / "asked"
    monkeypatch.setenv("OWN_LOG", str(asked))
    out = tmp_path / "grid"
    planned = run(*GRID, "--out", out, "--dry-run")
    assert planned.status == 0, planned.err
    assert "at most 250 of the attackers" in planned.out
    assert "200 rows to the undefended victim, once" in planned.out
    assert not out.exists()

    first = run(*GRID, "--out", out)
    assert first.status == 0, first.err
    cells = [read_result(path.parent) for path in sorted(out.glob("*/*/result.json"))]
    assert sorted((one.evaluation, one.taken_over) for one in cells) == [(0, 200)] * 4 + [(200, 0)]
    faults = [fault for cell in out.glob("*/*") for fault in verify(cell).faults]
    assert faults == []
    grid = read_defence_grid(out)
    assert grid is not None
    assert [row.defence for row in grid.rows] == grid.asked == ["none", "label", "temperature"]
    behind = grid.rows[2]
    assert [one.counter for one in behind.attackers] == ["naive", "label_only", "inverse"]
    labels = next(one for one in behind.attackers if one.counter == "label_only")
    assert labels.agreement == grid.floor.worst_attacker.agreement  # to the bit
    assert behind.gain_over_label is not None
    assert behind.gain_over_label.how == "paired bootstrap"
    assert behind.utility is not None
    assert behind.utility.flips.value == 0
    assert "label-only" in (out / "defences.md").read_text(encoding="utf-8")
    assert (out / "report.html").is_file()

    shutil.rmtree(out / "temperature" / "inverse-0")
    (out / "defences.json").unlink()
    before = asked.read_text().count("\n")
    monkeypatch.setattr(
        "clonecost.workers.attempts.in_processes", lambda workers, *given: backwards(*given)
    )
    again = run(*GRID, "--out", out, "--json", "--workers", "2")
    assert again.status == 0, again.err
    document = json.loads(again.out)
    now = read_defence_grid(out)
    assert now is not None
    assert [row.attackers for row in now.rows] == [row.attackers for row in grid.rows]
    assert document["schema"] == "clonecost/defences/1"
    # one cell: its rows and the few that are sent again, and no test row
    assert 50 <= asked.read_text().count("\n") - before < 50 + 100


@pytest.mark.parametrize(("words", "said"), [
    ([], "A grid compares defences, and none is given"),
    (["--defence", "roundin"], "unknown defence 'roundin'; did you mean 'rounding'?"),
    (["--defence", "dawn", "--attack", "dfme"], "dfme cannot work with labels"),
])  # fmt: skip
def test_a_mistake_is_told_before_anything_is_made(
    words: list[str], said: str, tmp_path: Path
) -> None:
    told = run("defend", "digits-lenet", *words, "--out", tmp_path / "grid")
    assert told.status == 2
    assert said in told.err
    assert not (tmp_path / "grid").exists()
