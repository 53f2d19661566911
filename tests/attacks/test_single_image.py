"""One picture: each view is asked once, and the clone learns the views that were asked."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from tests.support.recording_oracle import RecordingVictim
from tests.support.toys import MakeAudit
from torch import Tensor, nn

from clonecost.attacks import single_image
from clonecost.attacks.single_image import SingleImage
from clonecost.audit import run_audit
from clonecost.errors import SpecError
from clonecost.training.distill import Recipe, distill
from clonecost.types import Rows, ThreatModel, Victim

FEW = SingleImage(epochs=1, batch_size=100, scale=0.5)


def test_no_view_is_asked_twice_and_the_picture_decides_them(
    victim: Victim, threat: ThreatModel, make_audit: MakeAudit, tmp_path: Path
) -> None:
    asked = []
    for place in (0, 1):
        recording = RecordingVictim(victim)
        attack = dataclasses.replace(FEW, picture=place)
        run_audit(make_audit(
            attack, victim=recording, milestones=(), out=tmp_path / f"of-{place}",
            threat=dataclasses.replace(threat, query_budget=250),
        ))  # fmt: skip
        asked.append(recording.rows[400:])
    assert [len(set(rows)) for rows in asked] == [250, 250]
    assert not set(asked[0]) & set(asked[1])


@pytest.mark.parametrize(
    ("settings", "refusal"),
    [
        ({"cutmix": 0.7, "mixup": 0.5}, r"mixup is out of range.*at most 0\.3"),
        ({"scale": 0.0}, "scale is out of range"),
        ({"temperature": 0.5}, "temperature is out of range"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    settings: dict[str, float], refusal: str
) -> None:
    with pytest.raises(SpecError, match=refusal):
        SingleImage(**settings)  # type: ignore[arg-type]


def test_a_picture_that_the_pool_lacks_is_refused_before_a_query(
    victim: Victim, make_audit: MakeAudit
) -> None:
    recording = RecordingVictim(victim)
    attack = dataclasses.replace(FEW, picture=10**6)
    with pytest.raises(SpecError, match=r"single_image\.picture.*holds"):
        run_audit(make_audit(attack, victim=recording))
    assert recording.seen <= 400  # the test rows


@pytest.mark.parametrize("sharp", [False, True])
def test_the_temperature_is_chosen_on_bought_views(
    sharp: bool, victim: Victim, threat: ThreatModel, make_audit: MakeAudit,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A loss that teaches other classes is not chosen."""
    seen: list[object] = []

    def noted(
        student: nn.Module, inputs: Rows, answers: Tensor, recipe: Recipe, **how: Any
    ) -> None:  # fmt: skip
        seen.append(recipe.temperature)
        wrong = (recipe.temperature is None) == sharp
        distill(student, inputs, answers.roll(1, 1) if wrong else answers, recipe, **how)

    monkeypatch.setattr(single_image, "distill", noted)
    attack = dataclasses.replace(FEW, epochs=40, jitter=0.9)
    few = dataclasses.replace(threat, query_budget=400)
    run_audit(make_audit(attack, victim=victim, milestones=(), threat=few))
    assert seen == [None, 8.0, 8.0 if sharp else None]
