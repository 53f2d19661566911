"""Every attack against a victim of several labels a row: it copies them, or refuses."""

import dataclasses
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.support.attack_settings import toy_attack
from tests.support.recording_oracle import RecordingVictim
from tests.support.toys import MakeAudit
from torch import Tensor, nn

from clonecost.attacks import ATTACKS
from clonecost.audit import run_audit
from clonecost.config.lookup import make_attack
from clonecost.errors import SpecError
from clonecost.networks.per_label import paired
from clonecost.types import LabelledInputs, ThreatModel

LABELS, BUDGET = 3, 160
SHORT: dict[str, dict[str, Any]] = {
    "active_thief": {"strategy": "uncertainty", "seed_rows": 60, "round_rows": 100},
    "ex_nihilo": {"round_size": 80},
    "frugal_ripper": {"round_size": 80},
    "knockoff_adaptive": {"batch_size": 40},
}


def labels_of(rows: Tensor, /) -> Tensor:
    """A label for each of three columns of pixels: whether it is bright."""
    quarters = rows.flatten(1)[:, : 2 * LABELS].reshape(len(rows), LABELS, 2).double().mean(2)
    return paired((9 * quarters - 4).sigmoid())


def student() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, LABELS))


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_it_copies_several_labels_or_says_that_it_cannot(
    name: str, threat: ThreatModel, make_audit: MakeAudit, test_set: LabelledInputs,
    proxy: LabelledInputs,
) -> None:  # fmt: skip
    asked = RecordingVictim(labels_of)
    attack = toy_attack(name)
    fields = {field.name for field in dataclasses.fields(attack)}  # type: ignore[arg-type]
    short = {"epochs": 1, "round_epochs": 1, "scout_passes": 1.0, **SHORT.get(name, {})}
    attack = replace(attack, **{key: short[key] for key in short if key in fields})  # type: ignore[type-var]
    usual = make_audit(attack)
    audit = replace(
        usual, victim=replace(usual.loaded, answer=asked) if threat.takes == "images" else asked,
        student=student, test=replace(test_set, labels=test_set.labels - test_set.labels),
        threat=replace(usual.threat, multi_label=True, num_classes=2 * LABELS,
                       query_budget=min(BUDGET, usual.threat.query_budget)),
        proxy=proxy.take(slice(0, 200)) if usual.proxy else None, milestones=(),
    )  # fmt: skip
    if ATTACKS[name].declares.multi_label:
        result = run_audit(audit)
        assert result.spent == BUDGET
        assert result.curve[-1].agreement.value > 0.4  # of decisions, half of which are a coin's
    else:
        with pytest.raises(SpecError, match="takes one class a row, and the victim gives several"):
            run_audit(audit)
        assert asked.seen == 0


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"active_thief": {}}, "its dfal measures .*strategy='uncertainty'"),
        ({"single_image": {"temperature": 8.0}}, "its temperature needs .*temperature=1"),
    ],
)
def test_a_setting_that_needs_one_class_is_named(
    settings: dict[str, dict[str, Any]], sentence: str, make_audit: MakeAudit, threat: ThreatModel
) -> None:
    several = replace(threat, multi_label=True, num_classes=2 * LABELS)
    (name,) = settings
    with pytest.raises(SpecError, match=sentence):
        run_audit(make_audit(make_attack(name, settings), threat=several, student=student))


def test_decisions_on_labels_and_not_the_surest_of_them_are_learnt() -> None:
    """Rows of a rare decision are drawn more often, whatever else is decided on them."""
    from clonecost.attacks._frugal import rarity

    chances = torch.tensor([[0.9, 0.9], [0.9, 0.9], [0.9, 0.9], [0.9, 0.1]])
    weights = rarity(paired(chances), several=True)
    torch.testing.assert_close(weights, torch.tensor([7, 7, 7, 15]) / 12)
