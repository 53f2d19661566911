"""What a white box opens, to whom, and how it is marked; everything else stays closed."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from tests.support.cli_runs import asked, run
from tests.support.recording_oracle import RecordingVictim
from tests.support.toys import SHAPE, MakeAudit
from tests.support.workbench import TEST_ROWS
from torch import nn

from clonecost.attacks.base import AttackerKit, Declaration
from clonecost.audit import run_audit
from clonecost.config import make_spec, read_spec
from clonecost.errors import AnswersError, BudgetError, CloneCostError, SpecError
from clonecost.oracle import Oracle
from clonecost.suite import cells, read_suite
from clonecost.types import Access, ThreatModel, Victim
from clonecost.victims import load_victim
from clonecost.victims.answer_form import AnswerForm
from clonecost.victims.torch_model import open_network
from clonecost.victims.zoo.images import zoo_victim

FILE = ["lenet.safetensors", "--network", "lenet", "--test", "test.npz", "--student", "lenet"]
QUICK = ["--attack", "zskd", "--set", "zskd.impressions=1", "--set", "zskd.steps=2",
         "--set", "zskd.epochs=1"]  # fmt: skip
OPEN = ["--access", "white-box"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spy:
    """A reference that keeps its kit, and sends a query if `asks` is true."""

    asks: bool = False
    kits: ClassVar[list[AttackerKit]] = []
    declares: ClassVar = Declaration(needs="label", white_box=True)

    def plan(self, budget: int) -> str:
        return "looks"

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[nn.Module]:
        self.kits.append(kit)
        yield kit.new_student()
        if self.asks:
            with pytest.raises(BudgetError, match="1 queries were requested with 0 left"):
                oracle(torch.rand(1, *SHAPE))


class BlindSpy(Spy):
    declares: ClassVar = Declaration(needs="label")


# -- what is opened ------------------------------------------------------------------------------


def test_the_kit_holds_a_frozen_copy_with_gradients_to_its_inputs(
    make_audit: MakeAudit, network: nn.Module, victim: Victim
) -> None:
    network.train()
    result = run_audit(make_audit(Spy(asks=True)))
    shown = Spy.kits.pop().white_box
    assert shown is not None
    assert not any(module.training for module in shown.modules())
    assert not any(p.requires_grad for p in shown.parameters())
    x = torch.rand(5, *SHAPE, requires_grad=True)
    logits = shown(x)
    torch.testing.assert_close(logits.softmax(1), victim(x))
    logits.sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    answers = victim(x)
    for p in shown.parameters():
        p.zero_()
    assert torch.equal(victim(x), answers)  # nothing done to the copy changes the victim
    assert all(p.requires_grad for p in network.parameters())
    assert (result.spent, result.threat.query_budget) == (0, 0)


def test_a_module_is_opened_in_a_white_box_only(
    make_audit: MakeAudit, network: nn.Module, threat: ThreatModel
) -> None:
    closed = make_audit(BlindSpy(), victim=network, threat=threat, network=network)
    run_audit(closed)
    assert Spy.kits.pop().white_box is None
    white = dataclasses.replace(threat, access="white-box")
    run_audit(
        make_audit(Spy(), victim=network, threat=white, network=None, out=closed.folder / "b")
    )
    assert Spy.kits.pop().white_box is not None


def test_victims_are_loaded_with_their_network_on_request_only(
    bench: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bench)
    weights = {"network": "lenet", "input_shape": (1, 16, 16), "num_classes": 4}
    assert load_victim("lenet.safetensors", **weights).network is None  # type: ignore[arg-type]
    x = torch.rand(3, 1, 16, 16)
    for where in ("lenet.safetensors", "own:net"):
        loaded = load_victim(where, **weights, white_box=True)  # type: ignore[arg-type]
        assert loaded.network is not None
        torch.testing.assert_close(loaded.network(x).softmax(1), loaded.answer(x))
    assert zoo_victim("digits-lenet").network is None
    digits = zoo_victim("digits-lenet", white_box=True)
    assert digits.network is not None
    y = torch.rand(3, 1, 32, 32)
    torch.testing.assert_close(digits.network(y).softmax(1), digits.answer(y))


def test_a_network_of_probabilities_is_shown_as_one_of_logits() -> None:
    network = nn.Sequential(nn.Linear(4, 3), nn.Softmax(1))
    probs = AnswerForm(outputs="probs", num_classes=3, reason="")
    x = torch.rand(5, 4, requires_grad=True)
    logits = open_network(network, probs)(x)
    torch.testing.assert_close(logits.softmax(1), network(x))
    logits.sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    sure = open_network(nn.Identity(), probs)(torch.tensor([[1.0, 0.0]]))
    assert sure.isfinite().all()
    assert open_network(network, dataclasses.replace(probs, outputs="logits")) is network


# -- what is refused, before anything is sent ----------------------------------------------------


@pytest.mark.parametrize("box", ["black-box", "white-box"])
def test_an_attack_in_the_wrong_box_is_refused(
    box: Access, make_audit: MakeAudit, victim: Victim, threat: ThreatModel, tmp_path: Path
) -> None:
    name = "zskd" if box == "black-box" else "knockoff"
    counting = RecordingVictim(victim)
    audit = make_audit(name, victim=counting, threat=dataclasses.replace(threat, access=box))
    error, sentence = (
        (AnswersError, "zskd is a reference that reads the victim's own network")
        if box == "black-box"
        else (SpecError, "knockoff queries the API")
    )
    with pytest.raises(error, match=sentence):
        run_audit(audit)
    with pytest.raises(error, match=sentence):
        make_spec({"victim": "digits-lenet", "attack": name, "access": box})
    assert counting.seen == 0
    assert not (tmp_path / "run").exists()


def test_a_white_box_without_a_network_or_with_a_defence_is_refused(
    make_audit: MakeAudit, victim: Victim
) -> None:
    counting = RecordingVictim(victim)
    refused: dict[str, dict[str, object]] = {
        "victim toy gives answers only": {"network": None, "name": "toy"},
        "Leave `defences` out": {"defences": [lambda v: v]},
    }
    for sentence, changes in refused.items():
        with pytest.raises(CloneCostError, match=sentence):
            run_audit(make_audit("zskd", victim=counting, **changes))
    assert counting.seen == 0
    with pytest.raises(SpecError, match="Leave `defences` out"):
        make_spec({"victim": "digits-lenet", "attack": "zskd", "access": "white-box",
                   "defence": "rounding"})  # fmt: skip


def test_a_function_is_refused_in_one_sentence_and_not_asked(
    bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bench)
    monkeypatch.setenv("OWN_LOG", str(tmp_path / "asked"))
    said = run("audit", "own:probs", "--test", "test.npz", *QUICK, *OPEN, "--out", tmp_path / "run")
    assert said.status == 2
    assert "'own:probs' gives answers only" in said.err
    assert "--access black-box" in said.err
    assert asked(tmp_path / "asked") == []


def test_only_a_white_box_may_ask_nothing() -> None:
    spec = make_spec({"victim": "digits-lenet", "attack": "zskd", "access": "white-box"})
    assert spec.budget == 0
    with pytest.raises(SpecError, match="budget of a black box is too small"):
        make_spec({"victim": "digits-lenet", "budget": 0})
    with pytest.raises(SpecError, match="got 'glass', want 'black-box' or 'white-box'"):
        make_spec({"victim": "digits-lenet", "access": "glass"})


# -- from the command line to the page -----------------------------------------------------------


def test_no_query_from_the_command_to_the_page(
    bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bench)
    out = tmp_path / "run"
    planned = run("plan", *FILE, *QUICK, *OPEN)
    assert planned.status == 0, planned.err
    assert "distils; no query" in " ".join(planned.out.split())
    assert "white box: a reference" in " ".join(planned.out.split())
    assert "at most 0 of the attacks" in planned.out
    said = run("audit", *FILE, *QUICK, *OPEN, "--out", out, "--price", "1", "--controls")
    assert said.status == 0, said.err
    assert said.out.startswith("A clone made with direct access to your model (white-box reference")
    found = json.loads((out / "result.json").read_text(encoding="utf-8"))
    assert (found["spent"], found["evaluation"], found["price"]["usd"]) == (0, TEST_ROWS, 0)
    assert found["threat"]["access"] == "white-box"
    assert [control["name"] for control in found["controls"]] == ["untrained_student"]
    assert read_spec(out / "spec.toml").access == "white-box"
    assert run("verify", out).status == 0
    assert "finished already" in run("resume", out).err
    page = " ".join(run("report", out, "--format", "md").out.split())
    for words in ("zskd (white box)", "A white-box reference gives no verdict on the API.",
                  "The white-box reference reads the victim's weights",
                  "white-box-reference"):  # fmt: skip
        assert words in page
    assert "zskd (white box)" in (out / "report.html").read_text(encoding="utf-8")
    replayed = run("replay", out, "--student", "lenet")
    assert replayed.status == 2
    assert "holds no answered rows" in replayed.err


def test_the_list_marks_them() -> None:
    said = " ".join(run("list", "attacks").out.split())
    assert said.count("a reference, not an attack through the API; needs") == 2


SUITE = """
title = "A toy"
[[column]]
name = "mine"
title = "Mine"
victim = "digits-lenet"
[[row]]
name = "ref"
title = "Reference"
white_box = true
attack = "zskd"
[scale.small]
title = "small"
budget = 60
milestones = [20]
"""


def test_a_white_box_row_of_a_suite_opens_the_box_and_asks_nothing(tmp_path: Path) -> None:
    path = tmp_path / "toy.toml"
    path.write_text(SUITE, encoding="utf-8")
    (cell,) = cells(read_suite(path), "small")
    assert cell.spec is not None
    assert (cell.spec.access, cell.spec.budget, cell.spec.milestones) == ("white-box", 0, [])
    path.write_text(SUITE.replace("white_box = true", 'access = "white-box"'), encoding="utf-8")
    with pytest.raises(SpecError, match="row ref: a white-box row is marked by white_box"):
        read_suite(path)
