import dataclasses

import torch
from tests.support.attack_settings import toy_attack
from tests.support.recording_oracle import RecordingOracle, RecordingVictim, sure_answers
from tests.support.toys import SHAPE, MakeAudit, toy_student
from torch import Tensor, nn

from clonecost.attacks.base import AttackerKit
from clonecost.attacks.ideal import Ideal
from clonecost.audit import run_audit
from clonecost.networks import build_generator
from clonecost.types import ThreatModel, Victim


def small(**changes: object) -> Ideal:
    attack = dataclasses.replace(toy_attack("ideal"), **changes)  # type: ignore[type-var]
    assert isinstance(attack, Ideal)
    return attack


def test_a_round_costs_its_images_and_no_image_is_asked_twice(
    victim: Victim, threat: ThreatModel, make_audit: MakeAudit
) -> None:
    assert Ideal().queries_per_iteration == 250
    counting = RecordingVictim(victim)
    labels = dataclasses.replace(threat, answers="label")
    result = run_audit(make_audit("ideal", victim=counting, threat=labels))
    asked = counting.rows[400:]
    assert result.spent == len(asked) == 1_500
    assert len(set(asked)) > 0.99 * len(asked)
    for row in asked[:50]:  # what is asked is what an image file would hold
        levels = 255 * torch.frombuffer(bytearray(row), dtype=torch.float32)
        torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)


class Watched(nn.Module):
    """A student that notes how it is used."""

    log: list[tuple[bool, bool]]

    def __init__(self) -> None:
        super().__init__()
        self.body, self.log = toy_student(), []

    def forward(self, x: Tensor) -> Tensor:
        self.log.append((self.training, x.requires_grad))
        return self.body(x)


def test_modes_gradients_and_no_nan() -> None:
    """The generator is trained through the student in eval mode, the student in train mode."""
    attack = small(generator_steps=3, student_steps=2)
    kit = AttackerKit(
        student=Watched, generator=lambda d, *, width: build_generator(d, SHAPE, width=width),
        rng=torch.Generator().manual_seed(0), device=torch.device("cpu"), horizon=200,
    )  # fmt: skip
    clones = list(attack.run(RecordingOracle(200, sure_answers), kit))
    assert len(clones) == 4
    student = clones[-1]
    assert isinstance(student, Watched)
    assert student.log == 4 * ([(False, True)] * 3 + [(True, False)] * 2)
    assert all(p.isfinite().all() for p in student.parameters())
