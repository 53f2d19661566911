"""Reports of finished and unfinished run folders."""

import json
import shutil
from pathlib import Path

from tests.support.cli_runs import run


def test_reports_of_one_and_many_runs(out: Path, finished: Path, tmp_path: Path) -> None:
    assert "<html" in run("report", out, "--out", "-").out
    assert run("report", out, "--format", "md").out.startswith("# What it costs")
    assert json.loads(run("report", out, "--format", "json").out)["spent"] == 100
    many = json.loads(run("report", finished.parent, "--format", "json").out)
    assert len(many["runs"]) == 2
    said = run("report", out, finished.parent / "dfme", "--out", tmp_path / "both.html")
    assert said.status == 0
    assert (tmp_path / "both.html").read_text(encoding="utf-8").count("dfme") > 0


def test_an_unfinished_run_does_not_spoil_the_others(out: Path, finished: Path) -> None:
    other = out.parent / "unfinished"
    shutil.copytree(finished.parent / "dfme", other)
    (other / "result.json").unlink()
    said = run("report", out.parent, "--format", "json")
    assert said.status == 0
    assert json.loads(said.out)["spent"] == 100
    assert f"left out: {other} did not finish; `clonecost resume {other}` goes on" in said.err
    alone = run("report", other)
    assert alone.status == 2
    assert "did not finish" in alone.err


def test_a_report_writes_through_no_link(out: Path, tmp_path: Path) -> None:
    """Of a run folder that came from somebody else."""
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    (out / "report.html").unlink()
    for name in ("report.html", "report.html.part"):
        (out / name).symlink_to(outside)
    assert run("report", out).status == 0
    assert outside.read_bytes() == b"precious"
    assert (out / "report.html").read_text().startswith("<!")
    assert not (out / "report.html").is_symlink()
