"""`clonecost report`: its formats, its gate, its comparison, and what it refuses."""

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.cli_runs import run
from tests.support.synthetic_documents import defence_row, grid, panel
from tests.support.synthetic_runs import at_corrected, result, write
from tests.support.toys import MakeAudit

from clonecost.attacks.knockoff import Knockoff
from clonecost.audit import run_audit
from clonecost.persistence.run_folder import ROWS
from clonecost.result import PanelMeasure


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Three runs: a good clone, a poor one, and one that learnt nothing."""
    write(tmp_path / "good", result([(1000, 0.5), (20_000, 0.95)]))
    write(tmp_path / "poor", result([(2000, 0.6)], attack="dfme"))
    write(tmp_path / "failed", result([(100, at_corrected(0.02, -0.01, 0.05))], attack="maze"))
    return tmp_path


def test_every_format_is_written(runs: Path) -> None:
    assert run("report", runs).status == 0
    assert "What would help" in (runs / "report.html").read_text(encoding="utf-8")
    assert run("report", runs, "--format", "md").out.startswith("# What it costs")
    assert len(json.loads(run("report", runs, "--format", "json").out)["runs"]) == 3
    assert json.loads(run("report", runs, "--format", "sarif").out)["version"] == "2.1.0"
    tree = ET.fromstring(run("report", runs, "--format", "junit").out)  # our own
    assert len(tree.findall("*/testcase")) == 3
    told = run("report", runs, "--format", "sarif", "--out", runs / "found.sarif")
    assert (told.status, told.out) == (0, "")
    assert (runs / "found.sarif").is_file()
    unknown = run("report", runs, "--format", "pdf")
    assert unknown.status == 2
    assert "unknown format 'pdf'" in unknown.err


def test_kept_runs_are_gated(runs: Path) -> None:
    gate = ("report", runs, "--format", "junit", "--fail-above")
    passed = run(*gate, "worst.agreement@500=0.75")  # the clones at 1,000 and 2,000 queries
    assert passed.status == 0, passed.err
    above = run(*gate, "worst.agreement@10000=0.75")  # an earlier clone could be worse
    assert above.status == 1
    assert "(the clone at 20,000 queries): knockoff" in above.err
    assert "no verdict from maze" in passed.err
    failed = run(*gate, "worst.agreement=0.75")
    assert failed.status == 1
    assert "worst.agreement 0.950 is above 0.75: knockoff (seed 0)" in failed.err
    tree = ET.fromstring(failed.out)  # our own
    (case,) = [one for one in tree.iter("testcase") if one.get("name") == "worst.agreement=0.75"]
    assert case.find("failure") is not None
    assert (
        run("report", runs / "failed", "--format", "md", "--fail-above", "agreement=0").status == 3
    )


def test_a_gate_that_cannot_be_checked_writes_nothing(runs: Path) -> None:
    refused = run("report", runs, "--fail-above", "worst.agreement@many=0.75")
    assert refused.status == 2
    assert "a number of queries N above 0" in refused.err
    assert not (runs / "report.html").exists()


def test_documents_beside_the_runs_are_shown(runs: Path) -> None:
    deep = runs / "noise" / "averaging-0"
    write(deep, result())
    rows = grid(defence_row("noise:scale=0.2", 0.7, 0.1, 0.22, (0.03, 0.5)))
    attackers = [rows.rows[2].attackers[0].model_copy(update={"runs": ["noise/averaging-0"]})]
    attackers.append(rows.rows[2].attackers[1].model_copy(update={"runs": ["../elsewhere"]}))
    row = rows.rows[2].model_copy(update={"attackers": attackers})
    found = rows.model_copy(update={"rows": [*rows.rows[:2], row]})
    (runs / "defences.json").write_text(found.model_dump_json(by_alias=True), encoding="utf-8")
    text = run("report", runs, "--format", "md").out
    assert "| noise:scale=0.2" in text
    assert "1 run" in run("report", runs).err or (runs / "report.html").is_file()
    assert "dfme" not in text.partition("## Cost of a clone")[2].partition("##")[0]
    (runs / "defences.json").unlink()
    (runs / "panel.json").write_text(panel().model_dump_json(by_alias=True), encoding="utf-8")
    assert "(panel: quick)" in run("report", runs, "--format", "md").out


def test_two_grids_do_not_fit_into_one_report(runs: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path / name / "run", result())
        document = grid().model_dump_json(by_alias=True)
        (tmp_path / name / "defences.json").write_text(document, encoding="utf-8")
    refused = run("report", tmp_path / "one", tmp_path / "two")
    assert refused.status == 2
    assert "2 of the folders hold a grid of defences" in refused.err


def test_audits_are_compared_on_the_rows_that_they_keep(
    make_audit: MakeAudit, tmp_path: Path
) -> None:
    attack = Knockoff(epochs=1)
    for name, budget in (("before", 60), ("after", 150)):
        audit = make_audit(attack, out=tmp_path / name)
        run_audit(replace(audit, threat=replace(audit.threat, query_budget=budget)))
    assert (tmp_path / "before" / ROWS).is_file()
    words = ("report", "--compare", tmp_path / "before", tmp_path / "after")
    document = json.loads(run(*words, "--format", "json").out)
    difference = document["pairs"][0]["differences"]["agreement"]
    assert difference["low"] <= difference["value"] <= difference["high"]
    assert difference["value"] == pytest.approx(difference["after"] - difference["before"])
    assert {"what": "Query budget", "before": "60", "after": "150"} in document["changed"]
    assert "95 % CI" in run(*words, "--format", "md").out
    assert run(*words).status == 0
    assert "Before and after" in (tmp_path / "after" / "comparison.html").read_text("utf-8")


def test_panels_are_compared_without_their_measures(tmp_path: Path) -> None:
    made = panel().model_copy(
        update={"measures": [PanelMeasure(kind="labels", of="01-knockoff", run="measure-labels")]}
    )
    for name in ("before", "after"):
        write(tmp_path / name / "01-knockoff", result())
        write(tmp_path / name / "measure-labels", result(threat={"answers": "label"}))
        document = made.model_dump_json(by_alias=True)
        (tmp_path / name / "panel.json").write_text(document, encoding="utf-8")
    told = run("report", "--compare", tmp_path / "before", tmp_path / "after", "--format", "json")
    assert told.status == 0, told.err
    assert [pair["before"] for pair in json.loads(told.out)["pairs"]] == ["01-knockoff"]


def test_a_comparison_that_makes_no_sense_is_refused_before_anything_is_written(
    runs: Path, tmp_path: Path
) -> None:
    other = write(tmp_path / "other", result(victim={"name": "other"}))
    for words, sentence in (
        ((runs / "good",), "--compare takes two runs, or two folders of runs: got 1"),
        ((runs / "good", other), "different victims: got shop-classifier in good and other"),
        ((runs / "good", runs / "poor", "--format", "sarif"), "unknown format 'sarif'"),
        ((runs / "good", runs / "poor", "--fail-above", "agreement=0.5"), "do not go together"),
    ):
        refused = run("report", "--compare", *words)
        assert (refused.status, refused.out) == (2, "")
        assert sentence in refused.err
    assert not (other / "comparison.html").exists()
