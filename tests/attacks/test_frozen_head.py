"""Frozen head: exact from few queries where the guess is right; else it says what it has."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.support.toy_backbone import SIZE, D, encoder, trainable
from torch import Tensor, nn

from clonecost.attacks.frozen_head import FrozenHead
from clonecost.audit import Audit, run_audit
from clonecost.defences.rounding import Rounding
from clonecost.errors import RunError, SpecError
from clonecost.result import Result
from clonecost.training.fine_tune import FineTune
from clonecost.types import LabelledInputs, ThreatModel, Victim
from clonecost.workflows.transfer import load_clone

SHAPE, CLASSES = (3, SIZE, SIZE), 8
MODULE = "tests.support.toy_backbone"
ENOUGH = 30  # 1.2 (d + 1)


def pictures(count: int, seed: int) -> LabelledInputs:
    inputs = torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(seed))
    return LabelledInputs(inputs, torch.zeros(count, dtype=torch.int64), name="noise")


def toy_student() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE * SIZE, CLASSES))


def head() -> tuple[Tensor, Tensor]:
    weight = 2 * torch.randn(CLASSES, D, generator=torch.Generator().manual_seed(2))
    return weight, -(encoder(pictures(200, 3).inputs) @ weight.T).mean(0)


def victim(inputs: Tensor, /) -> Tensor:
    weight, bias = head()
    return (encoder(inputs) @ weight.T + bias).softmax(1)


def audited(
    out: Path, *, budget: int = ENOUGH, asked: Victim = victim, backbone: str = "encoder",
    attack: FrozenHead | None = None, **threat: Any,
) -> Result:  # fmt: skip
    return run_audit(Audit(
        victim=asked, out=out, test=pictures(300, 4), proxy=pictures(900, 1), milestones=(15,),
        student=toy_student, attack=attack or FrozenHead(backbone=f"{MODULE}:{backbone}"),
        threat=ThreatModel(input_shape=SHAPE, num_classes=CLASSES, query_budget=budget, **threat),
    ))  # fmt: skip


def remarks(result: Result) -> str:
    return " ".join(f.message for f in result.flags if f.code == "attack-fell-short")


def test_float32_answers_give_the_exact_head_and_end_the_attack(tmp_path: Path) -> None:
    result = audited(tmp_path, budget=500)
    assert result.spent == ENOUGH
    before, after = result.curve
    assert before.agreement.value < 0.9 < after.agreement.value == 1.0
    assert after.kl < 1e-6
    assert not remarks(result)


def test_fewer_rows_than_unknowns_give_an_estimate(tmp_path: Path) -> None:
    result = audited(tmp_path, budget=15)
    assert result.majority_agreement < result.curve[-1].agreement.value < 1
    assert f"15 rows do not determine a head on {D} features" in remarks(result)


@pytest.mark.parametrize(
    ("how", "least"),
    [
        ({"asked": Rounding(decimals=4)(victim)}, 0.95),
        ({"asked": Rounding(decimals=2)(victim)}, 0.85),
        ({"answers": "top_k", "top_k": 3}, 0.9),
        ({"answers": "label"}, 0.7),
    ],
    ids=["4 decimals", "2 decimals", "top 3", "label"],
)
def test_answers_that_show_less_cost_more_queries(
    tmp_path: Path, how: dict[str, Any], least: float
) -> None:
    result = audited(tmp_path, budget=12 * D, **how)
    assert result.curve[-1].agreement.value > least
    if "label" in how.values():
        assert "Labels give no equations" in remarks(result)


def test_the_clone_of_a_run_folder_answers_as_it_did_and_gives_gradients(tmp_path: Path) -> None:
    attack = FrozenHead(backbone=f"{MODULE}:trainable")
    audited(tmp_path / "run", attack=attack)
    clone = load_clone(tmp_path / "run", "toy_student", attack)
    pixels = pictures(50, 9).inputs.requires_grad_()
    logits = clone(pixels)
    assert torch.equal(logits.argmax(1), victim(pixels).argmax(1))
    logits.sum().backward()
    assert pixels.grad is not None
    assert pixels.grad.abs().sum() > 0
    function = FrozenHead(backbone=f"{MODULE}:encoder")
    with pytest.raises(RunError, match="encoder' gives no gradients"):
        load_clone(tmp_path / "run", "toy_student", function)


def test_another_backbone_is_told_from_the_right_one(tmp_path: Path) -> None:
    result = audited(tmp_path, budget=120, backbone="other_encoder")
    assert result.spent == 120  # it asks all, since no solution is exact
    assert f"The features of {MODULE}:other_encoder explain" in remarks(result)
    assert "The victim has another" in remarks(result)


def test_a_fine_tuned_backbone_is_trained_from_the_solved_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = FineTune(lr=1e-2, low_epochs=0, epochs=6, augment="none")
    monkeypatch.setattr("clonecost.attacks._solved_start.RECIPE", quick)
    moved = deepcopy(trainable).requires_grad_(False)
    moved.map.weight.add_(0.1 * torch.randn(D, 48, generator=torch.Generator().manual_seed(5)))
    weight, bias = head()

    def other(x: Tensor, /) -> Tensor:
        return (moved(x) @ weight.T + bias).softmax(1)

    found = {}
    for training in (False, True):
        result = audited(
            tmp_path / str(training), budget=400, asked=other,
            attack=FrozenHead(backbone=f"{MODULE}:trainable", fine_tune=training),
        )  # fmt: skip
        found[training] = result.curve[-1].agreement.value
    assert found[False] + 0.03 < found[True]
    with pytest.raises(SpecError, match="cannot be trained"):
        audited(tmp_path / "no", attack=FrozenHead(backbone=f"{MODULE}:encoder", fine_tune=True))


def test_what_cannot_be_attacked_so_is_refused_before_a_query(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="has no 'nothing'"):
        audited(tmp_path, backbone="nothing")
