"""Suites: cells are specs, numbers are runs', and a table goes on where it was stopped."""

import importlib
import json
import re
from pathlib import Path
from statistics import fmean
from typing import Any, cast

import pytest
from tests.support.cli_runs import asked, run
from tests.support.workbench import TEST_ROWS
from torch import Tensor

from clonecost.errors import RunError, SpecError
from clonecost.report.aggregate import t_interval
from clonecost.result import read_result
from clonecost.suite import (
    SuiteResults,
    cells,
    find,
    gather,
    html,
    jobs,
    markdown,
    merged,
    plan_suite,
    read_results,
    read_suite,
    shipped,
)

TOY = """
title = "A toy"
note = "Tiny & quick <b>"
source = "Somebody (2020), table 1"
seeds = [0, 1, 2]
test = "test.npz"
proxy = "proxy.npz"

[[column]]
name = "mine"
title = "Mine → LeNet"
victim = "own:probs"
student = "lenet"

[[column]]
name = "broken"
title = "Broken → LeNet"
victim = "own:falls"
student = "lenet"

[[row]]
name = "teacher"
title = "Teacher"
teacher = true
paper = { mine = 88.8 }

[[row]]
name = "knockoff"
title = "Knockoff | Nets"
attack = "knockoff:shared"
settings = { epochs = 2 }
paper = { mine = 77.7, broken = [66.6, 1.5] }

[[row]]
name = "later"
title = "Later"
white_box = true
not_run = "the attack comes later"
paper = { mine = 55.5 }
source = "Somebody else (2021)"

[[row]]
name = "ours"
title = "Ours"
ours = true
attack = "knockoff:shared"
settings = { epochs = 1 }

[scale.small]
title = "small"
budget = 60
milestones = [20]

[scale.small.row.ours]
budget = 40
settings = { batch_size = 10 }

[scale.small.column.broken]
not_run = "no time"

[scale.large]
title = "large"
budget = 100

[scale.large.cell.broken.knockoff]
not_run = "not here"
"""


@pytest.fixture
def toy(bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(bench)
    monkeypatch.syspath_prepend(str(bench))
    monkeypatch.setenv("OWN_LOG", str(tmp_path / "asked"))
    path = tmp_path / "toy.toml"
    path.write_text(TOY, encoding="utf-8")
    return path


def edited(toy: Path, old: str, new: str) -> Path:
    assert old in TOY
    toy.write_text(TOY.replace(old, new, 1), encoding="utf-8")
    return toy


# -- what is written -----------------------------------------------------------------------------


def test_a_cell_is_a_spec_of_all_layers(toy: Path) -> None:
    suite = read_suite(toy)
    found = {(c.row.name, c.column.name): c for c in cells(suite, "small")}
    ours = found["ours", "mine"].spec
    assert ours is not None
    assert (ours.victim, ours.student, ours.proxy) == ("own:probs", "lenet", "proxy.npz")
    assert (ours.budget, ours.milestones, ours.seed) == (40, [20], [0, 1, 2])
    assert ours.set == {"knockoff": {"epochs": 1, "batch_size": 10}}
    assert ours.keep == "none"
    knockoff = found["knockoff", "mine"].spec
    assert knockoff is not None
    assert knockoff.budget == 60
    assert found["later", "mine"].not_run == "the attack comes later"
    assert found["knockoff", "broken"].not_run == "no time"
    large = {(c.row.name, c.column.name): c for c in cells(suite, "large", [7])}
    assert large["knockoff", "broken"].not_run == "not here"
    assert large["ours", "broken"].not_run is None
    assert large["ours", "mine"].spec is not None
    assert large["ours", "mine"].spec.seed == [7]


def test_a_row_may_be_of_some_columns_only(toy: Path, tmp_path: Path) -> None:
    suite = read_suite(edited(toy, 'name = "ours"\n', 'name = "ours"\ncolumns = ["mine"]\n'))
    assert [c.column.name for c in cells(suite, "small") if c.row.name == "ours"] == ["mine"]
    table = gather("toy", suite, "small", tmp_path / "out")
    assert "ours" in [row.name for row in table.rows_of("mine")]
    assert "ours" not in [row.name for row in table.rows_of("broken")]
    of_broken = markdown(table).partition("## Broken")[2]
    assert "Later" in of_broken
    assert "Ours" not in of_broken
    ours = re.findall(r'<tr class="marked">.*?</tr>', html(table), re.DOTALL)
    assert [row.count("not run") for row in ours] == [1, 1]  # at a glance, and in its own column
    assert [row.count("–") for row in ours] == [1, 1]  # no cell there, no number of a paper here


def test_victims_are_compared_at_a_glance_where_they_are_few(toy: Path, tmp_path: Path) -> None:
    few = html(gather("toy", read_suite(toy), "small", tmp_path))
    many = html(gather("tramer", read_suite(find("tramer")), "cpu", tmp_path))
    assert (few.count("<table"), many.count("<table")) == (1 + 2, 10)
    assert "Accuracy at a glance" in few
    assert "Accuracy at a glance" not in many


def test_settings_of_another_attack_are_left_behind(toy: Path) -> None:
    column = 'student = "lenet"\nattack = "zskd"\nsettings = { steps = 5 }\n'
    suite = read_suite(edited(toy, 'student = "lenet"\n', column))
    (ours,) = [c for c in cells(suite, "small") if (c.row.name, c.column.name) == ("ours", "mine")]
    assert ours.spec is not None
    assert ours.spec.set == {"knockoff": {"epochs": 1, "batch_size": 10}}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "ours"\n', 'name = "ours"\ncolumns = ["mien"]\n', "did you mean 'mine'"),
        ('title = "A toy"', 'titel = "A toy"', "did you mean 'title'"),
        ("budget = 60", "bugdet = 60", "did you mean 'budget'"),
        ("budget = 60", "budget = 0", "budget of a black box is too small"),
        ("seeds = [0, 1, 2]", "seed = [0]", "did you mean 'seeds'"),
        ('attack = "knockoff:shared"', 'attack = "knokoff"', "did you mean 'knockoff'"),
        ("settings = { epochs = 2 }", "settings = { epoch = 2 }", "did you mean 'epochs'"),
        ("[scale.small.row.ours]", "[scale.small.row.our]", "did you mean 'ours'"),
        ("[scale.small.column.broken]", "[scale.small.column.broke]", "did you mean 'broken'"),
        ("paper = { mine = 88.8 }", "paper = { mien = 88.8 }", "did you mean 'mine'"),
        ('student = "lenet"', 'student = "lennet"', "did you mean 'lenet'"),
        ('name = "later"', 'name = "ours"', "given twice"),
        ('name = "later"', 'name = "../later"', "row.2.name"),
        ('not_run = "the attack comes later"\n', "", "a cell needs one attack"),
        ('title = "small"\n', "", "the key 'scale.small.title' is missing"),
        ("title =", "title", "cannot be read as TOML"),
    ],
)
def test_a_mistake_is_one_sentence(toy: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        read_suite(edited(toy, old, new))


def test_unknown_suites_rows_columns_and_scales_are_suggested(toy: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="did you mean 'fmnist'"):
        find("fmnst")
    suite = read_suite(toy)
    with pytest.raises(SpecError, match="did you mean 'small'"):
        cells(suite, "smal")
    with pytest.raises(SpecError, match="did you mean 'knockoff'"):
        jobs(suite, "small", tmp_path, rows=["knokoff"])
    with pytest.raises(SpecError, match="did you mean 'broken'"):
        jobs(suite, "small", tmp_path, columns=["broke"])


# -- the table -----------------------------------------------------------------------------------


def test_without_runs_no_number_but_the_papers(toy: Path, tmp_path: Path) -> None:
    table = gather("toy", read_suite(toy), "small", tmp_path / "out")
    for cell in table.cells:
        assert (cell.accuracy, cell.agreement, cell.queries, cell.seconds) == (None,) * 4
        assert cell.runs == []
        assert cell.not_run
    assert table.cell("later", "mine").not_run == "the attack comes later"
    for page in (markdown(table), html(table).replace("&nbsp;", " ")):
        assert "not run: the attack comes later" in page
        assert "not run: not yet" in page
        assert "77.7 %" in page
        assert "66.6 ± 1.5 %" in page
        assert "Somebody (2020), table 1" in page
    rows = [line.split(" | ") for line in markdown(table).splitlines() if "77.7" in line]
    assert [row[1:5] for row in rows] == [["not run: not yet", "", "", ""]]
    assert all("77.7" in row[5] for row in rows)


def test_runs_are_averaged_and_nothing_else_is_shown(toy: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = run("suite", toy, "--out", out)
    assert said.status == 0, said.err
    table = read_results(out / "small" / "results.json")
    cell = table.cell("knockoff", "mine")
    results = [read_result(out / "small" / "mine" / "knockoff" / f"seed{k}") for k in range(3)]
    values = [result.curve[-1].accuracy.value for result in results]
    assert cell.seeds == [0, 1, 2]
    assert cell.accuracy is not None
    assert cell.accuracy.values == values
    assert cell.accuracy.mean == pytest.approx(fmean(values))
    low, high = t_interval(values)
    assert cell.accuracy.low == pytest.approx(max(0, low))
    assert cell.accuracy.high == pytest.approx(min(1, high))
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


def test_it_goes_on_where_it_was_stopped(toy: Path, tmp_path: Path) -> None:
    out, log = tmp_path / "out", tmp_path / "asked"
    assert run("suite", toy, "--out", out, "--row", "ours", "--seed", "0").status == 0
    table = read_results(out / "small" / "results.json")
    ours = table.cell("ours", "mine")
    assert (ours.seeds, ours.not_run) == ([0], "seeds 1, 2: not yet")
    assert ours.accuracy is not None
    assert ours.accuracy.low is ours.accuracy.high is None
    assert "1 seed; not run: seeds 1, 2: not yet" in markdown(table)
    before = len(asked(log))
    suite = read_suite(toy)
    left = plan_suite(jobs(suite, "small", out))
    assert ("mine / ours", "2 of 3 runs to do, 40 queries each") in left.lines
    assert dict(left.lines)["queries"].startswith(f"at most {2 * 40 + 3 * 60:,} ")
    assert run("suite", toy, "--out", out, "--row", "ours", "--seed", "0").status == 0
    assert run("suite", toy, "--out", out, "--row", "ours", "--plan").status == 0
    assert run("suite", toy, "--out", out, "--render-only").status == 0
    assert len(asked(log)) == before
    assert run("suite", toy, "--out", out, "--row", "ours").status == 0
    assert read_results(out / "small" / "results.json").cell("ours", "mine").seeds == [0, 1, 2]
    assert len(asked(log)) == 3 * before


def test_stopped_within_a_run_it_buys_nothing_twice(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = importlib.import_module("own")
    whole = own.probs

    def until_ctrl_c(inputs: Tensor) -> Tensor:
        if len(asked(tmp_path / "asked")) >= TEST_ROWS + 60 + TEST_ROWS + 20:
            raise KeyboardInterrupt
        return cast(Tensor, whole(inputs))

    words = ["suite", toy, "--out", tmp_path / "out", "--row", "knockoff", "--seed", "0",
             "--seed", "1"]  # fmt: skip
    edited(toy, "{ epochs = 2 }", "{ epochs = 2, batch_size = 10 }")
    monkeypatch.setattr(own, "probs", until_ctrl_c)
    assert run(*words).status == 130
    results = tmp_path / "out" / "small" / "results.json"
    assert read_results(results).cell("knockoff", "mine").seeds == [0]
    monkeypatch.setattr(own, "probs", whole)
    assert run(*words).status == 0
    cell = read_results(results).cell("knockoff", "mine")
    assert [run_.resumed for run_ in cell.runs] == [0, 1]
    assert len(asked(tmp_path / "asked")) == 2 * (TEST_ROWS + 60)


def test_a_run_of_another_spec_is_no_number_of_this_table(toy: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("suite", toy, "--out", out, "--row", "ours", "--seed", "0").status == 0
    edited(toy, "settings = { epochs = 1 }", "settings = { epochs = 3 }")
    said = run("suite", toy, "--out", out, "--row", "ours", "--seed", "0")
    assert said.status == 2
    cell = read_results(out / "small" / "results.json").cell("ours", "mine")
    assert cell.accuracy is None
    assert "holds another audit" in (cell.not_run or "")


def test_a_cell_that_fails_says_why_and_the_others_are_run(toy: Path, tmp_path: Path) -> None:
    edited(toy, 'not_run = "no time"', 'not_run = ""')
    out = tmp_path / "out"
    said = run("suite", toy, "--out", out, "--seed", "0", "--row", "knockoff")
    assert said.status == 2
    assert "1 of 2 runs failed" in said.err
    table = read_results(out / "small" / "results.json")
    assert table.cell("knockoff", "mine").seeds == [0]
    assert "the API went away" in (table.cell("knockoff", "broken").not_run or "")
    assert "the API went away" in said.out


# -- results files -------------------------------------------------------------------------------


def test_results_are_rendered_without_runs(toy: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("suite", toy, "--out", out, "--seed", "0", "--row", "ours").status == 0
    kept = tmp_path / "kept" / "toy-small.json"
    kept.parent.mkdir()
    kept.write_bytes((out / "small" / "results.json").read_bytes())
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


def test_rows_that_were_run_apart_are_merged(toy: Path, tmp_path: Path) -> None:
    for row in ("ours", "knockoff"):
        said = run("suite", toy, "--out", tmp_path / row, "--seed", "0", "--row", row)
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
    assert (
        "have runs of row knockoff"
        in run("suite", "--render-only", old, "--merge", new).err
    )
    with pytest.raises(RunError, match="do not have the same rows and columns"):
        merged(kept, more.model_copy(update={"scale": "large"}))
    other = json.loads(more.model_dump_json())
    other["cells"][2]["runs"][0]["victim_weights"] = "ff" * 32  # a function has no digest
    (warning,) = merged(kept, SuiteResults.model_validate(other)).warnings
    assert "different weights" in warning
    assert "--merge needs a results file" in run("suite", toy, "--merge", new).err


def with_cell(document: dict[str, Any], number: int, **changes: Any) -> dict[str, Any]:
    cells_ = [dict(cell) for cell in document["cells"]]
    cells_[number].update(changes)
    return {**document, "cells": cells_}


def test_the_page_loads_nothing_and_obeys_no_title(toy: Path, tmp_path: Path) -> None:
    page = html(gather("toy", read_suite(toy), "small", tmp_path / "out"))
    assert "Tiny &amp; quick &lt;b&gt;" in page
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")


# -- the suites that come with clonecost ---------------------------------------------------------


@pytest.mark.parametrize("name", shipped())
def test_shipped_suites_are_whole(name: str, tmp_path: Path) -> None:
    suite = read_suite(find(name))
    for scale in suite.scale:
        gather(name, suite, scale, tmp_path)


def test_the_lists_name_the_shipped_suites() -> None:
    said = run("list", "suites")
    assert "fmnist" in said.out


RESULTS = sorted((Path(__file__).parents[2] / "suites" / "results").glob("*.json"))


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_committed_results_are_what_they_say(path: Path) -> None:
    table = read_results(path)
    assert path.stem == f"{table.name}-{table.scale}"
    text = path.read_text(encoding="utf-8")
    assert '"/' not in text  # no path of the machine that it was made on
    suite = read_suite(find(table.name))
    assert [row.name for row in table.rows] == [row.name for row in suite.row]
    for cell in table.cells:
        if cell.accuracy and cell.agreement and cell.queries:
            assert cell.accuracy.values == [run.accuracy.value for run in cell.runs]
            assert cell.agreement.values == [run.agreement.value for run in cell.runs]
            assert cell.queries.values == [run.spent for run in cell.runs]
            assert cell.accuracy.mean == pytest.approx(fmean(cell.accuracy.values))
            assert cell.agreement.mean == pytest.approx(fmean(cell.agreement.values))
            assert all(run.ledger_rows >= run.spent for run in cell.runs)


def test_the_example_of_the_docs_is_a_suite(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "suites.md").read_text(encoding="utf-8")
    path = tmp_path / "example.toml"
    path.write_text(page.partition("```toml\n")[2].partition("```")[0], encoding="utf-8")
    suite = read_suite(path)
    knockoff = next(c for c in cells(suite, "cpu") if c.row.name == "knockoff")
    assert knockoff.spec is not None
    assert knockoff.spec.budget == 20_000
    assert knockoff.spec.set == {"knockoff": {"batch_size": 64, "epochs": 20}}
