"""A suite goes on where it was stopped, and says what failed."""

import importlib
from pathlib import Path
from typing import cast

import pytest
from tests.support.cli_runs import agree, asked, run
from tests.support.toy_suite import edited
from tests.support.workbench import TEST_ROWS
from torch import Tensor

from clonecost.suite import (
    jobs,
    markdown,
    plan_suite,
    read_results,
    read_suite,
)

AGREED = agree("code:own:probs", "code:own:falls")


def test_it_goes_on_where_it_was_stopped(toy: Path, tmp_path: Path) -> None:
    out, log = tmp_path / "out", tmp_path / "asked"
    assert run("suite", toy, *AGREED, "--out", out, "--row", "ours", "--seed", "0").status == 0
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
    assert run("suite", toy, *AGREED, "--out", out, "--row", "ours", "--seed", "0").status == 0
    assert run("suite", toy, "--out", out, "--row", "ours", "--plan").status == 0
    assert run("suite", toy, "--out", out, "--render-only").status == 0
    assert len(asked(log)) == before
    assert run("suite", toy, *AGREED, "--out", out, "--row", "ours").status == 0
    assert read_results(out / "small" / "results.json").cell("ours", "mine").seeds == [0, 1, 2]
    assert len(asked(log)) == 3 * before


def test_fresh_clones_stand_beside_the_attacks_own(toy: Path, tmp_path: Path) -> None:
    own = 'proxy = "proxy.npz"\n'
    edited(toy, own, own + "retrain = true\nretrain_epochs = 1\n")
    out = tmp_path / "out"
    words = ["--row", "ours", "--seed", "0", "--seed", "1"]
    assert run("suite", toy, *AGREED, "--out", out, *words).status == 0
    table = read_results(out / "small" / "results.json")
    again = table.cell("ours", "mine").retrained
    assert again is not None
    assert again.accuracy is not None
    assert len(again.agreement.values) == len(again.accuracy.values) == 2
    page = markdown(table)
    lines = page.partition("## Mine")[2].splitlines()
    head = next(line for line in lines if line.startswith("| Attack"))
    row = next(line for line in lines if line.startswith("| Ours"))
    cells = dict(zip(head.split(" | "), row.split(" | "), strict=True))
    assert "%" in cells["Agreement, retrained"]
    assert "costs no further query" in page


def test_a_suite_asks_for_all_its_consents_before_the_first_run(toy: Path, tmp_path: Path) -> None:
    edited(toy, 'not_run = "no time"', 'not_run = ""')
    out = tmp_path / "out"
    said = run("suite", toy, "--out", out)
    assert said.status == 2
    assert said.err.rstrip().endswith("--consent code:own:probs --consent code:own:falls.")
    assert not list(out.rglob("spec.toml"))


def test_stopped_within_a_run_it_buys_nothing_twice(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = importlib.import_module("own")
    whole = own.probs

    def until_ctrl_c(inputs: Tensor) -> Tensor:
        if len(asked(tmp_path / "asked")) >= TEST_ROWS + 60 + TEST_ROWS + 20:
            raise KeyboardInterrupt
        return cast(Tensor, whole(inputs))

    words = ["suite", toy, *AGREED, "--out", tmp_path / "out", "--row", "knockoff", "--seed", "0",
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
    spot = 10  # half of the spot check's 20: a suite keeps no inputs
    assert len(asked(tmp_path / "asked")) == 2 * (TEST_ROWS + 60) + spot


def test_a_run_of_another_spec_is_no_number_of_this_table(toy: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("suite", toy, *AGREED, "--out", out, "--row", "ours", "--seed", "0").status == 0
    edited(toy, "settings = { epochs = 1 }", "settings = { epochs = 3 }")
    said = run("suite", toy, *AGREED, "--out", out, "--row", "ours", "--seed", "0")
    assert said.status == 2
    cell = read_results(out / "small" / "results.json").cell("ours", "mine")
    assert cell.accuracy is None
    assert "holds another audit" in (cell.not_run or "")


def test_a_cell_that_fails_says_why_and_the_others_are_run(toy: Path, tmp_path: Path) -> None:
    edited(toy, 'not_run = "no time"', 'not_run = ""')
    out = tmp_path / "out"
    said = run("suite", toy, *AGREED, "--out", out, "--seed", "0", "--row", "knockoff")
    assert said.status == 2
    assert "1 of 2 runs failed" in said.err
    table = read_results(out / "small" / "results.json")
    assert table.cell("knockoff", "mine").seeds == [0]
    assert "the API went away" in (table.cell("knockoff", "broken").not_run or "")
    assert "the API went away" in said.out
