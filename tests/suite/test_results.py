"""Results of a suite: the numbers of its runs, averaged, kept in a file and merged."""

import json
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from tests.support.cli_runs import agree, run
from tests.support.toy_suite import edited

from clonecost.errors import RunError
from clonecost.evaluation.seed_interval import t_interval
from clonecost.result import read_result
from clonecost.suite import (
    SuiteResults,
    html,
    markdown,
    merged,
    read_results,
)

AGREED = agree("code:own:probs", "code:own:falls")


def test_runs_are_averaged_and_nothing_else_is_shown(toy: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = run("suite", toy, *AGREED, "--out", out)
    assert said.status == 0, said.err
    table = read_results(out / "small" / "results.json")
    cell = table.cell("knockoff", "mine")
    results = [read_result(out / "small" / "mine" / "knockoff" / f"seed{k}") for k in range(3)]
    found = [result.curve[-1].accuracy for result in results]
    values = [rate.value for rate in found if rate is not None]
    assert cell.seeds == [0, 1, 2]
    assert cell.accuracy is not None
    assert cell.accuracy.values == values
    assert cell.accuracy.mean == pytest.approx(fmean(values))
    low, high = t_interval(values)
    assert cell.accuracy.low == pytest.approx(max(0, low))
    assert cell.accuracy.high == pytest.approx(min(1, high))
    last = [result.curve[-1] for result in results]
    assert cell.corrected is not None
    assert cell.corrected.values == [score.corrected_agreement.value for score in last]
    assert cell.balanced is not None
    assert cell.balanced.values == [score.balanced_agreement.value for score in last]
    both = table.model_copy(update={"agreement": ["balanced", "chance-corrected"]})
    for shown, pages in ((table, "Agreement | Chance-corrected agreement | Queries"),
                         (both, "Accuracy | Balanced agreement | Chance-corrected agreement |"),
                         ):  # fmt: skip
        assert pages in markdown(shown)
    assert f"{100 * cell.balanced.mean:.1f} %" in markdown(both)
    assert cell.queries is not None
    assert cell.queries.values == [60, 60, 60]
    assert [point.queries for point in cell.curve] == [20, 60]
    assert cell.settings is not None
    assert cell.settings["epochs"] == 2
    assert [r.ledger_head for r in cell.runs] == [r.provenance.ledger_head for r in results]
    assert table.columns[0].accuracy == results[0].victim.accuracy
    assert "Teacher" in said.out
    assert "seed" not in said.out.split("## Mine → LeNet")[1].split("The victim")[0]
    text = (out / "small" / "results.json").read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    assert (out / "small" / "table.md").read_text(encoding="utf-8") == markdown(table)
    assert (out / "small" / "table.html").read_text(encoding="utf-8") == html(table)


def test_results_are_rendered_without_runs(toy: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("suite", toy, *AGREED, "--out", out, "--seed", "0", "--row", "ours").status == 0
    kept = tmp_path / "kept" / "toy-small.json"
    kept.parent.mkdir()
    kept.write_bytes((out / "small" / "results.json").read_bytes())
    of_before = json.loads(kept.read_text(encoding="utf-8"))  # results that kept one agreement
    of_before.pop("agreement")
    of_before["cells"] = [
        {key: value for key, value in cell.items() if key not in ("corrected", "balanced")}
        for cell in of_before["cells"]
    ]
    old = tmp_path / "old.json"
    old.write_text(json.dumps(of_before), encoding="utf-8")
    assert "Chance-corrected" not in markdown(read_results(old))
    said = run("suite", "--render-only", kept)
    assert said.status == 0
    assert said.out == (out / "small" / "table.md").read_text(encoding="utf-8")
    assert {path.name for path in kept.parent.iterdir()} == {
        "toy-small.json", "toy-small.md", "toy-small.html"}  # fmt: skip
    assert "dd --render-only" in run("suite", kept).err
    document = json.loads(kept.read_text(encoding="utf-8"))
    for wrong, sentence in (
        ({**document, "schema": "clonecost/suite/0"}, "schema"),
        ({**document, "cells": document["cells"][1:]}, "the cells are not every column"),
        (with_cell(document, 0, accuracy={"mean": 1, "low": None, "high": None, "values": [1]}),
         "if, and only if"),
    ):  # fmt: skip
        kept.write_text(json.dumps(wrong), encoding="utf-8")
        with pytest.raises(RunError, match=sentence):
            read_results(kept)


FURTHER = """
[[row]]
name = "further"
title = "Further"
attack = "knockoff:shared"

"""


def test_rows_that_were_run_apart_are_merged(toy: Path, tmp_path: Path) -> None:
    for row in ("ours", "knockoff"):
        said = run("suite", toy, *AGREED, "--out", tmp_path / row, "--seed", "0", "--row", row)
        assert said.status == 0
    old, new = (tmp_path / row / "small" / "results.json" for row in ("ours", "knockoff"))
    kept, more = read_results(old), read_results(new)
    assert run("suite", "--render-only", old, "--merge", new).status == 0
    both = read_results(old)
    assert both.cell("ours", "mine") == kept.cell("ours", "mine")
    assert both.cell("knockoff", "mine") == more.cell("knockoff", "mine")
    assert both.cell("knockoff", "broken").not_run == "no time"
    assert both.cell("teacher", "mine").not_run is None
    assert both.warnings == []
    assert (tmp_path / "ours" / "small" / "results.md").is_file()
    assert "have runs of row knockoff" in run("suite", "--render-only", old, "--merge", new).err
    with pytest.raises(RunError, match="do not have the same rows and columns"):
        merged(kept, more.model_copy(update={"scale": "large"}))
    grown = edited(toy, "[scale.small]", FURTHER + "[scale.small]")
    assert run("suite", grown, "--out", tmp_path / "empty", "--render-only").status == 0
    later = read_results(tmp_path / "empty" / "small" / "results.json")
    assert merged(both, later).cell("knockoff", "mine").runs
    assert merged(both, later).cell("further", "mine").not_run == "not yet"
    with pytest.raises(RunError, match="that are gone: further"):
        merged(later, both)
    other = json.loads(more.model_dump_json())
    other["cells"][2]["runs"][0]["victim_weights"] = "ff" * 32  # a function has no digest
    (warning,) = merged(kept, SuiteResults.model_validate(other)).warnings
    assert "different weights" in warning
    assert "--merge needs a results file" in run("suite", toy, "--merge", new).err


def with_cell(document: dict[str, Any], number: int, **changes: Any) -> dict[str, Any]:
    cells_ = [dict(cell) for cell in document["cells"]]
    cells_[number].update(changes)
    return {**document, "cells": cells_}
