"""Adversarial examples of a clone: their form, their cost, and that a crash loses none."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.support.cli_runs import MINE, QUICK, asked, run
from tests.support.recording_oracle import RecordingVictim
from tests.support.toys import CLASSES, SHAPE
from torch import nn

from clonecost.errors import SpecError
from clonecost.evaluation.adversarial_transfer import METHODS, max_queries, transfer
from clonecost.oracle import Oracle
from clonecost.oracle.ledger import Ledger
from clonecost.result import Strength, read_transfer
from clonecost.types import LabelledInputs, ThreatModel, Victim
from clonecost.victims import torch_victim

ROWS = 60
EPSILON = 0.03


def transferred(
    victim: Victim, clone: nn.Module, test: LabelledInputs, tmp_path: Path,
    epsilons: tuple[float, ...] = (EPSILON,),
) -> tuple[int, list[Strength], int]:  # fmt: skip
    """(rows classified correctly, strengths, rows spent)"""
    budget = max_queries(len(test), METHODS, epsilons)
    threat = ThreatModel(input_shape=SHAPE, num_classes=CLASSES, query_budget=budget)
    ledger = Ledger(tmp_path / "l.sqlite", audit="t", input_shape=SHAPE, num_classes=CLASSES)
    oracle = Oracle(victim, threat, ledger)
    try:
        return *transfer(oracle, clone, test, epsilons=epsilons), oracle.spent
    finally:
        ledger.close()


@pytest.fixture
def few(test_set: LabelledInputs) -> LabelledInputs:
    """Inner pixels only: nothing is cut off at 0 or 1."""
    chosen = test_set.take(slice(0, ROWS))
    return LabelledInputs(chosen.inputs * 0.8 + 0.1, chosen.labels, name="few")


def test_one_step_on_a_linear_model_does_what_the_formula_says(
    network: nn.Module, tmp_path: Path
) -> None:
    """z_k = w_k x + b_k: along -sign(w_a - w_b) the margin shrinks by epsilon |w_a - w_b|_1."""
    (linear,) = [m for m in network.modules() if isinstance(m, nn.Linear)]
    copied = nn.Linear(64, CLASSES)
    two = nn.Sequential(nn.Flatten(), copied)
    with torch.no_grad():
        copied.weight.copy_(linear.weight)
        copied.bias.copy_(linear.bias)
        copied.bias[2] = -1e4  # two classes are left
    rows = torch.rand(300, *SHAPE, generator=torch.Generator().manual_seed(1)) * 0.8 + 0.1
    with torch.no_grad():
        z = two(rows)
    test = LabelledInputs(rows, z.argmax(1), name="toy")
    margin = (z[:, 0] - z[:, 1]).abs()
    reach = EPSILON * (copied.weight[0] - copied.weight[1]).abs().sum()
    expected = float((margin < reach).float().mean())
    assert 0.05 < expected < 0.95
    right, found, _ = transferred(torch_victim(two), two, test, tmp_path)
    assert right == 300
    by_method = {one.method: one for one in found}
    assert by_method["fgsm"].fooled.value == pytest.approx(expected)
    assert by_method["mim"].fooled.value == pytest.approx(expected)
    assert by_method["pgd"].fooled.value == pytest.approx(expected, abs=0.03)  # a random start
    assert by_method["noise"].fooled.value < expected / 2
    assert all(one.fooled == one.fooled_clone for one in found)  # the clone is the victim


def test_no_pixel_moves_further_than_epsilon_and_none_leaves_its_range(
    network: nn.Module, test_set: LabelledInputs, tmp_path: Path
) -> None:
    victim = RecordingVictim(torch_victim(network))
    test = test_set.take(slice(0, ROWS))
    transferred(victim, network, test, tmp_path)
    clean, *moved = victim.batches
    assert torch.equal(clean, test.inputs)
    assert len(moved) == 1 + len(METHODS)
    for rows in moved:
        assert rows.min() >= 0
        assert rows.max() <= 1
        assert float((rows - clean).abs().max()) == pytest.approx(EPSILON, abs=1e-6)


def test_only_correctly_classified_rows_are_changed_and_all_are_counted(
    network: nn.Module, few: LabelledInputs, tmp_path: Path
) -> None:
    victim = RecordingVictim(torch_victim(network))
    labels = torch_victim(network)(few.inputs).argmax(1)
    labels[:20] = (labels[:20] + 1) % CLASSES  # the owner's labels differ
    test = LabelledInputs(few.inputs, labels, name="few")
    right, found, spent = transferred(victim, network, test, tmp_path, (0.02, 0.05))
    assert right == ROWS - 20
    assert spent == victim.seen == ROWS + right * 2 * (len(METHODS) + 1)
    assert spent < max_queries(ROWS, METHODS, (0.02, 0.05))
    assert [(one.epsilon, one.method) for one in found][:2] == [(0.02, "noise"), (0.02, "fgsm")]


def test_the_same_seed_asks_the_same_and_numpy_is_left_alone(
    network: nn.Module, few: LabelledInputs, tmp_path: Path
) -> None:
    import numpy as np

    np.random.seed(5)
    state = np.random.get_state(legacy=False)["state"]["key"].tolist()
    asked_for = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        victim = RecordingVictim(torch_victim(network))
        transferred(victim, network, few, tmp_path / name)
        asked_for.append(victim.rows)
    assert asked_for[0] == asked_for[1]
    assert np.random.get_state(legacy=False)["state"]["key"].tolist() == state


def test_an_api_that_classifies_no_row_correctly_is_refused(
    network: nn.Module, few: LabelledInputs, tmp_path: Path
) -> None:
    wrong = torch_victim(network)(few.inputs).argmin(1)
    test = LabelledInputs(few.inputs, wrong, name="few")
    with pytest.raises(SpecError, match="none of the 60 rows of few correctly"):
        transferred(torch_victim(network), network, test, tmp_path)


def test_without_labels_the_answer_to_the_unchanged_row_is_its_class(
    network: nn.Module, few: LabelledInputs, tmp_path: Path
) -> None:
    answers = torch_victim(network)(few.inputs).argmax(1)
    found = []
    for name, labels in (("own", answers), ("none", torch.full_like(answers, -1))):
        (tmp_path / name).mkdir()
        test = LabelledInputs(few.inputs, labels, name="few")
        found.append(transferred(torch_victim(network), network, test, tmp_path / name))
    assert found[0] == found[1]
    assert found[1][0] == ROWS


def test_without_the_toolbox_one_sentence(
    network: nn.Module, few: LabelledInputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "art"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "art", None)
    victim = RecordingVictim(torch_victim(network))
    with pytest.raises(SpecError, match=r"pip install 'clonecost\[robust\]'"):
        transferred(victim, network, few, tmp_path)
    assert victim.seen == 0


# -- the command ---------------------------------------------------------------------------------


@pytest.fixture
def out(bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(bench)
    monkeypatch.syspath_prepend(str(bench))
    assert run("audit", *MINE, *QUICK, "--budget", "100", "--out", tmp_path / "run").status == 0
    return tmp_path / "run"


def test_the_command_counts_reports_and_goes_on(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    monkeypatch.setenv("OWN_LOG", str(log))
    head = json.loads((out / "result.json").read_text())["provenance"]["ledger_head"]
    words = ["transfer", out, "--rows", "40", "--epsilon", "0.2", "--method", "fgsm"]
    said = run(*words)
    assert said.status == 0, said.err
    found = read_transfer(out)
    assert found is not None
    assert found.queries == 40 + 2 * found.right == len(asked(log))
    assert f"{found.right} of 40 test rows" in said.out
    assert [one.method for one in found.found] == ["noise", "fgsm"]
    again = run(*words, "--json")  # all of it from its ledger
    assert json.loads(again.out)["found"] == json.loads(found.model_dump_json())["found"]
    assert len(asked(log)) == found.queries
    assert run("verify", out).status == 0  # the audit's own record is what it was
    assert json.loads((out / "result.json").read_text())["provenance"]["ledger_head"] == head
    assert run("verify", (out / found.ledger).parent).status == 0
    assert run("report", out).status == 0
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Adversarial examples made with the clone" in page
    assert "Random noise (baseline)" in page
    assert "Adversarial examples made with the clone" in run("report", out, "--format", "md").out


def test_a_larger_budget_has_another_clone(out: Path) -> None:
    words = ["transfer", out, "--rows", "20", "--epsilon", "0.2", "--method", "fgsm"]
    assert run(*words).status == 0
    before = read_transfer(out)
    assert run("resume", out, "--budget", "160").status == 0
    assert read_transfer(out) is None  # it was of the clone that is no more
    assert run(*words).status == 0
    after = read_transfer(out)
    assert before is not None
    assert after is not None
    assert after.ledger != before.ledger


def test_another_model_is_not_asked_instead(
    bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bench)
    weights = tmp_path / "mine.safetensors"
    shutil.copy(bench / "lenet.safetensors", weights)
    words = ["audit", weights, "--network", "lenet", *MINE[1:], *QUICK]
    assert run(*words, "--budget", "60", "--out", tmp_path / "run").status == 0
    tensors = load_file(weights)
    name = next(iter(tensors))
    save_file({**tensors, name: tensors[name] + 1}, weights)
    said = run("transfer", tmp_path / "run")
    assert said.status == 2
    assert "has other weights than the model that" in said.err


def test_the_proxy_data_are_not_needed_again(
    out: Path, bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("own.py", "test.npz", "lenet.safetensors"):
        shutil.copy(bench / name, elsewhere)
    monkeypatch.chdir(elsewhere)  # no proxy.npz here
    said = run("transfer", out, "--rows", "20", "--method", "fgsm")
    assert said.status == 0, said.err


def test_rows_paid_before_a_failure_are_not_paid_again(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import own  # type: ignore[import-not-found]  # the bench's module

    log = tmp_path / "log"
    monkeypatch.setenv("OWN_LOG", str(log))
    words = ["transfer", out, "--rows", "40", "--epsilon", "0.2"]
    probs, calls = own.probs, []

    def fails_at_the_third(inputs: torch.Tensor) -> torch.Tensor:
        calls.append(len(inputs))
        if len(calls) == 3:
            raise ConnectionError("the API went away")
        answers: torch.Tensor = probs(inputs)
        return answers

    monkeypatch.setattr(own, "probs", fails_at_the_third)
    said = run(*words)
    assert said.status == 2
    assert "the API went away" in said.err
    monkeypatch.setattr(own, "probs", probs)
    said = run(*words, "--max-lost", "5")  # more are lost already
    assert said.status == 2
    assert f"`clonecost transfer {out} --max-lost ROWS`" in " ".join(said.err.split())
    assert run(*words).status == 0
    found = read_transfer(out)
    assert found is not None
    assert found.lost == calls[2]
    assert len(asked(log)) == found.queries  # those of the third call never came that far


def test_invalid_settings_are_one_sentence(out: Path, tmp_path: Path) -> None:
    for words, sentence in (
        (["--method", "pdg"], "did you mean 'pgd'"),
        (["--epsilon", "8"], "pixels are in [0, 1]"),
        (["--rows", "0"], "at least one row"),
    ):
        said = run("transfer", out, *words)
        assert said.status == 2
        assert sentence in said.err
    (out / "clone.safetensors").unlink()
    assert "has no clone yet" in run("transfer", out).err
    (out / "result.json").unlink()
    assert "the audit did not finish" in run("transfer", out).err
    assert "is not a run folder" in run("transfer", tmp_path / "nowhere").err


def test_a_table_is_refused(tmp_path: Path) -> None:
    words = ["audit", "iris-softmax", "--attack", "tramer_lr", "--out", tmp_path / "iris"]
    assert run(*words).status == 0
    assert "are made of images" in run("transfer", tmp_path / "iris").err
