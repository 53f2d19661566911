"""One picture: each view is asked once, and the clone learns the views that were asked."""

import dataclasses
from pathlib import Path

import pytest
import torch
from tests.support.recording_oracle import RecordingVictim
from tests.support.toys import MakeAudit

from clonecost.attacks import single_image
from clonecost.attacks.single_image import SingleImage, cooled
from clonecost.audit import run_audit
from clonecost.errors import SpecError
from clonecost.types import ThreatModel, Victim

FEW = SingleImage(epochs=1, batch_size=100, scale=0.5)


def test_answers_at_a_temperature_are_those_of_the_logits() -> None:
    logits = torch.randn(5, 4) * 3
    for temperature in (1.0, 8.0, 50.0):
        soft = cooled(logits.softmax(1), temperature)
        assert torch.allclose(soft, (logits / temperature).softmax(1), atol=1e-5)
    refused = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    assert cooled(refused, 8.0)[0].tolist() == [0.0, 0.0]
    assert cooled(refused, 8.0)[1].isfinite().all()  # a rounded zero


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
    seen: list[float] = []

    def noted(answers: torch.Tensor, temperature: float) -> torch.Tensor:
        seen.append(temperature)
        wrong = (temperature == 1) == sharp
        return cooled(answers.roll(1, 1) if wrong else answers, temperature)

    monkeypatch.setattr(single_image, "cooled", noted)
    attack = dataclasses.replace(FEW, epochs=40, jitter=0.9)
    few = dataclasses.replace(threat, query_budget=400)
    run_audit(make_audit(attack, victim=victim, milestones=(), threat=few))
    assert seen == [1.0, 8.0, 8.0 if sharp else 1.0]
