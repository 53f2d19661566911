"""Whole audits whose numbers were misleading: few positives, no labels."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.support.cli_runs import MINE, QUICK, run
from tests.support.toys import MakeAudit

from clonecost.audit import run_audit
from clonecost.errors import SpecError
from clonecost.report import group_runs, headline, html, load_runs, markdown, verdict
from clonecost.result import read_result
from clonecost.types import LabelledInputs


def test_a_failed_clone_of_a_fraud_model_gives_no_verdict(cases: Path, tmp_path: Path) -> None:
    """3 % positives: after 20 rows the clone gives one class."""
    out = tmp_path / "run"
    said = run(
        "audit", cases / "imbalanced.skops", "--test", cases / "imbalanced.csv", "--attack",
        "tramer_adaptive_retrain", "--answers", "label", "--budget", "20", "--out", out,
        "--fail-above", "agreement=0.9",
    )  # fmt: skip
    result = read_result(out)
    final = result.curve[-1]
    assert final.agreement.low <= result.majority_agreement
    assert final.agreement.value > 0.9
    assert said.status == 3
    assert said.out.startswith("No verdict")
    (group,) = group_runs(load_runs([out]))
    assert verdict(group).band == "failed"
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "No verdict" in page
    assert "Vulnerable" not in page


def test_a_copy_of_the_fraud_model_is_vulnerable(cases: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    said = run(
        "audit", cases / "imbalanced.skops", "--test", cases / "imbalanced.csv", "--attack",
        "tramer_lr", "--budget", "200", "--out", out, "--fail-above", "corrected_agreement=0.9",
    )  # fmt: skip
    assert said.status == 1, said.err
    (group,) = group_runs(load_runs([out]))
    assert verdict(group).band == "vulnerable"


@pytest.fixture
def unlabelled(test_set: LabelledInputs) -> LabelledInputs:
    return replace(test_set, labels=torch.full_like(test_set.labels, -1))


def test_test_rows_without_labels_give_the_same_agreement(
    make_audit: MakeAudit, test_set: LabelledInputs, unlabelled: LabelledInputs, tmp_path: Path
) -> None:
    known = run_audit(make_audit(out=tmp_path / "known", test=test_set, controls=True))
    found = run_audit(make_audit(out=tmp_path / "found", test=unlabelled, controls=True))
    assert [one.agreement for one in found.curve] == [one.agreement for one in known.curve]
    assert (found.victim.accuracy, found.victim.majority_accuracy) == (None, None)
    assert (
        {one.accuracy for one in found.curve} == {one.accuracy for one in found.controls} == {None}
    )
    assert {one.relative_accuracy for one in found.curve} == {None}
    assert [flag.code for flag in found.flags if flag.code == "no-labels"] == ["no-labels"]
    runs = load_runs([tmp_path / "found"])
    assert "Its accuracy is not known, because the test set has no labels" in markdown(runs)
    assert "not known: no labels" in html(runs)
    assert "victim's accuracy" not in html(runs)
    assert "accuracy" not in headline(runs[0])


def test_rows_of_which_some_have_labels_are_refused(
    make_audit: MakeAudit, test_set: LabelledInputs, tmp_path: Path
) -> None:
    labels = test_set.labels.clone()
    labels[3] = -1
    with pytest.raises(SpecError, match=r"1 of .* rows of the test set .* have no label"):
        run_audit(make_audit(out=tmp_path / "run", test=replace(test_set, labels=labels)))


def test_a_file_without_labels_is_a_test_set(
    bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bench)
    monkeypatch.syspath_prepend(str(bench))
    out = tmp_path / "run"
    words = [*MINE, *QUICK, "--test", "proxy.npz", "--classes", "4", "--budget", "60"]
    refused = run("audit", *words, "--out", out, "--fail-above", "accuracy=0.9")
    assert refused.status == 2
    assert "the test set has no labels" in refused.err
    assert not (out / "ledger.sqlite").exists()
    said = run("audit", *words, "--out", out)
    assert said.status == 0, said.err
    assert "accuracy not known" in said.err
    assert read_result(out).victim.accuracy is None
    for command in (["audit", *words, "--out", out], ["resume", out]):  # it has finished already
        late = run(*command, "--fail-above", "accuracy=0.9")
        assert late.status == 2
        assert "--fail-above accuracy cannot be checked: the test set has no labels" in late.err
    again = run("replay", out, "--student", "half-lenet", "--epochs", "1")
    assert "accuracy not known; no query was sent" in again.out, again.err
    sent = run("transfer", out, "--rows", "20", "--epsilon", "0.2", "--method", "fgsm")
    assert "The test set has no labels" in sent.out, sent.err
    assert (
        "the victim's own answer to the unchanged input" in run("report", out, "--format", "md").out
    )
