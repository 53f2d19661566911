"""Budgets of a few rows, victims of two classes and of one: a clone or one sentence, no crash."""

import random
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.support.recording_oracle import RecordingVictim
from tests.support.toys import MakeAudit
from torch import Tensor, nn

from clonecost.attacks import ATTACKS
from clonecost.audit import run_audit
from clonecost.errors import CloneCostError
from clonecost.result import Result
from clonecost.types import LabelledInputs, ThreatModel, Victim

QUERYING = sorted(name for name in ATTACKS if not ATTACKS[name].declares.white_box)
TEST_ROWS = 40
OTHERS = random.Random(14).sample(
    [(name, budget) for name in QUERYING for budget in range(1, 16) if budget not in (1, 7)], 15
)
PAIRS = sorted({*((name, budget) for name in QUERYING for budget in (1, 7)), *OTHERS})


def student_of_two() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))


def outcome(audit: Any, counting: RecordingVictim, budget: int) -> Result | None:
    """The result of an audit; None if it was refused before the attack's first query."""
    refused = ""
    try:
        result = run_audit(audit)
    except CloneCostError as error:
        refused = str(error)
    if refused:
        assert "\n" not in refused
        assert counting.seen <= TEST_ROWS, f"refused after it had paid: {refused}"
        return None
    assert result.spent <= budget
    assert counting.seen - TEST_ROWS == result.spent + result.lost
    return result


@pytest.mark.parametrize(("name", "budget"), PAIRS)
def test_a_few_rows_give_a_clone_or_a_refusal(
    name: str, budget: int, victim: Victim, threat: ThreatModel, test_set: LabelledInputs,
    make_audit: MakeAudit,
) -> None:  # fmt: skip
    counting = RecordingVictim(victim)
    few = replace(threat, query_budget=budget)
    audit = make_audit(
        name, victim=counting, threat=few, test=test_set.take(slice(0, TEST_ROWS)),
        milestones=(1, 5),
    )  # fmt: skip
    outcome(audit, counting, budget)


@pytest.mark.parametrize("name", QUERYING)
@pytest.mark.parametrize("number", ["two classes", "one class"])
def test_victims_of_two_classes_and_of_one_class_crash_no_attack(
    name: str, number: str, victim: Victim, threat: ThreatModel, test_set: LabelledInputs,
    make_audit: MakeAudit,
) -> None:  # fmt: skip
    """A proxy of fewer rows than the budget, too."""
    budget = 150

    def two(inputs: Tensor, /) -> Tensor:
        p = victim(inputs)
        return torch.stack([p[:, 0], p[:, 1:].sum(1)], 1)

    def always_the_first(inputs: Tensor, /) -> Tensor:
        return torch.eye(2, dtype=torch.float64)[0].repeat(len(inputs), 1)

    counting = RecordingVictim(two if number == "two classes" else always_the_first)
    few = replace(threat, query_budget=budget, num_classes=2)
    inputs = test_set.inputs[:TEST_ROWS]
    test = replace(
        test_set, inputs=inputs, labels=torch.arange(TEST_ROWS) % 2, classes=("a", "b"),
    )  # fmt: skip
    tables = threat.features is not None  # an attack on a table brings its own model
    own: dict[str, object] = {} if tables else {"student": student_of_two}
    audit = make_audit(name, victim=counting, threat=few, test=test, milestones=(40,), **own)
    if audit.proxy is not None:
        audit = replace(audit, proxy=audit.proxy.take(slice(0, 60)))
    result = outcome(audit, counting, budget)
    if number == "one class" and result is not None:
        assert "too-few-other-classes" in [flag.code for flag in result.flags]
