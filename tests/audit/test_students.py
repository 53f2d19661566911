"""Students of an audit in Python: any network, refused before a row is sent if it does not fit."""

from dataclasses import replace
from typing import Literal

import pytest
import torch
from tests.support.recording_oracle import RecordingVictim
from tests.support.toys import MakeAudit
from torch import nn

from clonecost.attacks.base import Attack
from clonecost.attacks.knockoff import Knockoff
from clonecost.audit import run_audit
from clonecost.errors import SpecError
from clonecost.networks.pretrained import Pretrained
from clonecost.types import ThreatModel, Victim


def student(threat: ThreatModel) -> Pretrained:
    pixels = threat.input_shape[1] * threat.input_shape[2] * threat.input_shape[0]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 12), nn.ReLU())
        return Pretrained(encoder, 12, threat.num_classes)


RECIPES: tuple[Literal["linear_probe", "fine_tune", "shared"], ...] = (
    "linear_probe", "fine_tune", "shared",
)  # fmt: skip


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_network_in_python_is_probed_and_tuned(
    recipe: Literal["linear_probe", "fine_tune", "shared"],
    threat: ThreatModel,
    make_audit: MakeAudit,
) -> None:
    small = replace(threat, query_budget=120)
    audit = make_audit(
        Knockoff(recipe=recipe, epochs=1),
        threat=small,
        student=student(threat),
        milestones=(),
    )
    result = run_audit(audit)
    assert result.attack.student == "Pretrained"
    assert result.curve[-1].agreement.value > 0.2
    assert run_audit(audit).curve == result.curve
    assert '"student_weights"' in audit.identity()


@pytest.mark.parametrize(
    ("attack", "changes", "said"),
    [
        (Knockoff(recipe="fine_tune"), {}, "need a student with a backbone"),
        (Knockoff(temperature="sweep"), {"answers": "label"}, "needs the probabilities"),
        (Knockoff(), {"num_classes": 7}, "each of the model's classes"),
    ],
)
def test_what_does_not_fit_costs_no_query(
    attack: Attack, changes: dict[str, object], said: str, threat: ThreatModel, victim: Victim,
    make_audit: MakeAudit,
) -> None:  # fmt: skip
    counting = RecordingVictim(victim)
    shown = replace(threat, **changes)  # type: ignore[arg-type]
    with pytest.raises(SpecError, match=said):
        run_audit(make_audit(attack, victim=counting, threat=shown))
    assert counting.seen == 0
