"""A panel: its accounts, its limits, its decisions before they take effect, and its resume."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.support.cli_runs import asked, run

from clonecost.audit import Audit, Watcher, run_audit
from clonecost.config import EVERYTHING, make_spec
from clonecost.errors import CloneCostError, SpecError
from clonecost.report import folders_of, group_runs, load_runs, read_documents
from clonecost.report.documents import Material
from clonecost.result import Look, PanelDocument, Result, read_panel, read_result
from clonecost.workflows import panel as panels
from clonecost.workflows import panel_book, panel_measures
from clonecost.workflows.panel import run_panel
from clonecost.workflows.panel_rule import look_at

TEST_ROWS, WATCH = 200, 52
FAST = {"epochs": 1, "scout_passes": 1.0, "round_size": 200, "candidates": 1}
KEYS: dict[str, Any] = {
    "victim": "lenet.safetensors", "network": "lenet", "test": "test.npz", "proxy": "proxy.npz",
    "student": "lenet", "panel": "quick", "budget": 1_300, "milestones": [200], "spot_check": 0,
    "set": {"knockoff": {"epochs": 3}, "ex_nihilo": FAST, "frugal_ripper": FAST},
}  # fmt: skip
RUNS = ["01-knockoff-shared", "02-ex_nihilo", "03-frugal_ripper"]


@pytest.fixture(autouse=True)
def known_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A student whose training takes no time: the tests' limits are those of their clock."""
    without_measures(monkeypatch)


def without_measures(patch: pytest.MonkeyPatch) -> None:
    """A student that trains in no time, and a panel that measures next to nothing afterwards."""
    patch.setattr(panels, "speed_of_student", lambda *_: 0.0)
    patch.setattr(panel_book, "measures_labels", lambda spec: False)
    patch.setattr(panel_measures, "detect", lambda *_, **__: SimpleNamespace(verdict="No."))


def panel(
    out: Path, *, watch: Callable[[Audit], Watcher] = lambda audit: Watcher(),
    clock: Callable[[], float] = lambda: 0.0, **changes: Any,
) -> tuple[list[Result], PanelDocument]:  # fmt: skip
    spec = make_spec(KEYS | changes)
    found = list(run_panel(spec, out, watch=watch, consent=EVERYTHING, clock=clock))
    book = read_panel(out)
    assert book is not None
    return [result for _, result in found], book


@pytest.fixture(scope="module")
def whole(bench: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """A panel through the command line, on a victim that logs its rows: (folder, log)."""
    out = tmp_path_factory.mktemp("panel") / "run"
    log = out.parent / "asked"
    settings = [
        f"--set={attack}.{key}={value}" for attack, own in KEYS["set"].items()
        for key, value in own.items()
    ]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(bench)
        patch.setenv("OWN_LOG", str(log))
        patch.setattr(panels, "speed_of_student", lambda *_: 0.0)
        words = ["own:probs", "--test", "test.npz", "--proxy", "proxy.npz", "--student", "lenet",
                 "--budget", "1300", "--milestones", "200", "--spot-check", "0", "--price", "2",
                 *settings, "--out", out]  # fmt: skip
        said = run("audit", *words)
        assert said.status == 0, said.err
        (out.parent / "said").write_text(said.out)
        (out.parent / "words").write_text(json.dumps(list(map(str, words))))
        yield out, log


def test_every_row_of_a_panel_stands_in_an_account(whole: tuple[Path, Path]) -> None:
    out, log = whole
    book = read_panel(out)
    assert book is not None
    assert [entry.run for entry in book.entries] == RUNS
    results = [read_result(out / name) for name in RUNS]
    assert [entry.spent for entry in book.entries] == [result.spent for result in results]
    assert book.watch.rows == WATCH
    again = read_result(out / "measure-labels")
    assert book.spent == WATCH + sum(result.spent for result in [*results, again]) <= 1_300
    assert len(asked(log)) == book.spent + TEST_ROWS  # the evaluation is bought once
    assert [result.evaluation for result in results] == [TEST_ROWS, 0, 0]
    assert [result.taken_over for result in results] == [0, TEST_ROWS, TEST_ROWS]
    assert (again.evaluation, again.taken_over) == (0, TEST_ROWS)
    for name in [*RUNS, "measure-labels"]:
        assert run("verify", out / name).status == 0


def test_the_report_of_a_panel_says_its_cheapest_clone_and_each_attack(
    whole: tuple[Path, Path],
) -> None:
    out, _ = whole
    said = (out.parent / "said").read_text()
    assert "by an attacker who owns" in said or "No clone of the panel" in said
    assert "ex_nihilo, owns nothing:" in said
    page = run("report", out, "--format", "md").out
    assert "## The cheapest clone" in page
    assert said.splitlines()[0][:40] in page
    assert "26 public pictures and 26 drawings" in page
    assert "Agreement against money" in (out / "report.html").read_text()


def test_a_panel_measures_what_would_notice_and_what_labels_only_would_take(
    whole: tuple[Path, Path],
) -> None:
    out, _ = whole
    book = read_panel(out)
    assert book is not None
    detectors, labels = book.measures
    assert (detectors.kind, labels.kind) == ("detectors", "labels")
    assert detectors.ended == "finished"
    repeated, again = read_result(out / str(labels.of)), read_result(out / "measure-labels")
    assert (labels.run, labels.spent) == ("measure-labels", again.spent)
    assert again.threat.answers == "label"
    assert again.spent == repeated.spent
    said = (out.parent / "said").read_text()
    assert f"measure, detectors on {book.entries[RUNS.index(str(detectors.of))].name}" in said
    assert "measure, labels only on" in said
    page = run("report", out, "--format", "md").out
    assert "of agreement from the attacker" in page  # the advice has its number
    assert "measure-labels" in page.partition("## Provenance")[2]
    groups = group_runs(load_runs(folders_of(out)))
    material = Material.of(groups, read_documents([out]))  # and it is no attack of the panel
    assert [run.name for group in material.measured for run in group.runs] == ["measure-labels"]
    assert sorted(run.name for group in material.groups for run in group.runs) == RUNS
    held = json.loads(run("report", out, "--format", "json").out)
    assert len(held["runs"]) == 4


def test_a_measure_goes_on_after_a_crash(
    at_bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panel_book, "measures_labels", lambda spec: True)

    def crashes(audit: Audit) -> Watcher:
        def scored(score: object) -> None:
            if audit.threat.answers == "label":
                raise KeyboardInterrupt

        return Watcher(scored=scored)

    with pytest.raises(KeyboardInterrupt):
        panel(tmp_path / "run", watch=crashes)
    begun = read_panel(tmp_path / "run")
    assert begun is not None
    assert [one.ended for one in begun.measures] == ["finished", None]
    results, book = panel(tmp_path / "run")
    assert book.measures[1].ended == "finished"
    assert book.measures[1].of == begun.measures[1].of
    assert len(results) == 3  # the measure is no result of the panel
    _, later = panel(tmp_path / "run")
    assert later == book


def test_the_same_command_asks_nothing_again(whole: tuple[Path, Path]) -> None:
    out, log = whole
    rows, book = len(asked(log)), (out / "panel.json").read_bytes()
    for command in (["audit", *json.loads((out.parent / "words").read_text())], ["resume", out]):
        said = run(*command)
        assert said.status == 0, said.err
        assert "finished already" in said.err
    assert (len(asked(log)), (out / "panel.json").read_bytes()) == (rows, book)


@pytest.fixture(scope="module")
def undisturbed(
    bench: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[Result], PanelDocument]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(bench)
        without_measures(patch)
        return panel(tmp_path_factory.mktemp("undisturbed") / "run")


def test_a_panel_goes_on_after_a_crash_with_the_same_decisions(
    undisturbed: tuple[list[Result], PanelDocument], at_bench: Path, tmp_path: Path
) -> None:
    def crashes(audit: Audit) -> Watcher:
        def scored(score: object) -> None:
            if audit.attack_name == "ex_nihilo":
                raise KeyboardInterrupt

        return Watcher(scored=scored)

    with pytest.raises(KeyboardInterrupt):
        panel(tmp_path / "run", watch=crashes)
    begun = read_panel(tmp_path / "run")
    assert begun is not None
    assert [entry.ended for entry in begun.entries] == ["finished", None, None]
    results, book = panel(tmp_path / "run")
    before, expected = undisturbed
    assert book == expected
    curves = {result.attack.name: result.curve for result in results}
    assert curves == {result.attack.name: result.curve for result in before}


def test_the_rule_reads_no_test_row(
    undisturbed: tuple[list[Result], PanelDocument], at_bench: Path, tmp_path: Path
) -> None:
    """With other test rows, whose answers are others too, every look and decision is the same."""
    with np.load("test.npz") as held:
        inputs, labels = held["inputs"], held["labels"]
    np.savez(tmp_path / "test.npz", inputs=255 - inputs[::-1], labels=labels)
    results, book = panel(tmp_path / "run", test=str(tmp_path / "test.npz"))
    before, expected = undisturbed
    assert [one.curve for one in results] != [one.curve for one in before]
    assert [entry.looks for entry in book.entries] == [entry.looks for entry in expected.entries]
    assert all(entry.looks for entry in book.entries)


def test_a_stopped_attack_is_scored_where_it_stopped_and_stays_stopped(
    at_bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ends_the_second(*found: Any, others: Any, **more: Any) -> Look:
        look = look_at(*found, others=(others := list(others)), **more)
        return look.model_copy(update={"stop": "cannot_win" if len(others) == 1 else None})

    monkeypatch.setattr(panels, "look_at", ends_the_second)
    out = tmp_path / "run"
    results, book = panel(out)
    entry = book.entries[1]
    assert entry.ended == results[1].ended == "stopped"
    assert entry.spent == results[1].curve[-1].queries < entry.budget
    assert "could no longer catch up" in entry.why
    assert book.entries[2].budget > entry.budget  # what it left over goes to the next

    monkeypatch.undo()  # the rule would go on now, but the ledger keeps its decision
    (out / RUNS[1] / "result.json").unlink()
    said = run("resume", out / RUNS[1])
    assert said.status == 0, said.err
    again = read_result(out / RUNS[1])
    assert (again.ended, again.curve) == ("stopped", results[1].curve)


def test_when_the_time_is_over_the_running_attack_ends_and_the_others_do_not_begin(
    at_bench: Path, tmp_path: Path
) -> None:
    now = [0.0]

    def watch(audit: Audit) -> Watcher:
        def scored(score: object) -> None:
            now[0] += 400.0 if audit.attack_name == "ex_nihilo" else 10.0

        return Watcher(scored=scored)

    results, book = panel(tmp_path / "run", watch=watch, clock=lambda: now[0], minutes=5.0)
    assert [entry.ended for entry in book.entries] == ["finished", "stopped", "not_run"]
    assert book.entries[1].why == "the time limit of 5 minutes was reached"
    assert "was reached before it" in book.entries[2].why
    assert [result.ended for result in results] == ["finished", "stopped"]
    more, book = panel(tmp_path / "run", minutes=60.0)  # what did not fit may fit now
    assert [entry.ended for entry in book.entries][:2] == ["finished", "stopped"]
    assert book.entries[2].run == RUNS[2]
    assert len(more) == 3


def test_an_attack_that_would_take_too_long_gets_fewer_rows_or_is_not_run(
    at_bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panels, "speed_of_student", lambda *_: 0.1)
    slow = {"knockoff": {"epochs": 3}, "ex_nihilo": {**FAST, "epochs": 60}, "frugal_ripper": FAST}
    _, book = panel(tmp_path / "run", minutes=1.0, set=slow)
    first, second, _ = book.entries
    assert 0 < first.budget < 416
    assert "would take about" in first.why
    assert second.ended == "not_run"  # 62 passes: 64 s for a tenth of its rows
    assert "its part of the time that is left is" in second.why


def test_money_counts_the_evaluation_and_is_refused_before_anything_is_sent(
    at_bench: Path, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match="The limit of money fits no attack") as refused:
        panel(tmp_path / "little", price=1_000.0, max_usd=252.0)
    assert "the evaluation of 200 rows and the panel's own 52 rows" in str(refused.value)
    assert not (tmp_path / "little" / "panel.json").exists()
    _, book = panel(tmp_path / "more", price=1_000.0, max_usd=900.0)
    paid = book.spent + TEST_ROWS  # the first attack buys them for all
    assert 700 < paid <= 900


def test_a_share_of_fewer_than_two_rows_a_class_is_refused_before_anything_is_sent(
    at_bench: Path, tmp_path: Path
) -> None:
    """The victim's file says how many classes it has, not the spec."""
    with pytest.raises(SpecError, match="to tell 4 classes apart") as refused:
        panel(tmp_path / "little", budget=31)
    assert "at least 32" in str(refused.value)
    assert not (tmp_path / "little" / "panel.json").exists()
    with pytest.raises(SpecError, match="The limit of money fits no attack"):
        panel(tmp_path / "poor", price=1_000.0, max_usd=283.0)


def test_one_attack_that_fails_does_not_end_the_panel(
    at_bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = run_audit

    def fails(audit: Audit, *more: Any, **others: Any) -> Result:
        if audit.attack_name != "frugal_ripper":
            raise SpecError("It yielded no clone within its budget")
        return real(audit, *more, **others)

    monkeypatch.setattr(panels, "run_audit", fails)
    results, book = panel(tmp_path / "run")
    assert [entry.ended for entry in book.entries] == ["failed", "failed", "finished"]
    assert book.entries[0].why.startswith("It yielded no clone")
    assert len(results) == 1
    everything: list[str] = []
    monkeypatch.setattr(panels, "run_audit", lambda audit, *_, **__: fails_too(everything, audit))
    with pytest.raises(CloneCostError, match="No attack of the panel has a clone"):
        panel(tmp_path / "none")
    assert len(everything) == 3


def fails_too(seen: list[str], audit: Audit) -> Result:
    seen.append(audit.attack_name)
    raise SpecError("It yielded no clone within its budget")
