"""Attacks on images on a pretended second device: `CLONECOST_GPU_TESTS_ON=elsewhere`, no card.

It takes minutes, because each operation goes through Python, so that it is a rehearsal by hand.
"""

from dataclasses import replace

import pytest
import torch
from tests.gpu.conftest import ELSEWHERE
from tests.support.attack_settings import toy_attack
from tests.support.pretend_device import WAITS, Elsewhere, Generator, MixedDevicesError, pretended
from tests.support.toys import CLASSES, SHAPE, toy_generator, toy_student
from torch import Tensor, nn

from clonecost.attacks import ATTACKS
from clonecost.attacks.base import AttackerKit, DeferredClone
from clonecost.networks import build_generator
from clonecost.types import LabelledInputs, ThreatModel

ON_IMAGES = sorted(name for name, one in ATTACKS.items() if one.declares.takes == "images")
rehearsal = pytest.mark.skipif(ELSEWHERE != "elsewhere", reason="a rehearsal by hand")


class AnsweredThere:
    """An oracle without ledger and victim, which refuses rows that are not on the device."""

    def __init__(self, threat: ThreatModel) -> None:
        self.threat, self.spent = threat, 0

    @property
    def remaining(self) -> int:
        return self.threat.query_budget - self.spent

    def __call__(self, inputs: Tensor, **more: object) -> Tensor:
        assert isinstance(inputs, Elsewhere)
        self.spent += len(inputs)
        return (5 * inputs.flatten(1)[:, :CLASSES]).softmax(1).detach()


@rehearsal
@pytest.mark.parametrize("name", ON_IMAGES)
def test_no_tensor_meets_one_of_the_processor(name: str, proxy: LabelledInputs) -> None:
    attack, white_box = toy_attack(name), ATTACKS[name].declares.white_box
    threat = ThreatModel(
        input_shape=SHAPE, num_classes=CLASSES, query_budget=0 if white_box else 340,
        access="white-box" if white_box else "black-box",
    )  # fmt: skip
    with pretended() as there:
        rng = Generator(there)
        rng.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(64, CLASSES)).to(there).eval()
        kit = AttackerKit(
            student=toy_student, rng=rng, device=there, horizon=340,
            generator=lambda latent, *, width: build_generator(latent, SHAPE, width=width),
            generators={"toy": replace(toy_generator(), device=there)},
            proxy=proxy.take(slice(0, 600)),
            white_box=network.requires_grad_(False) if white_box else None,
        )  # fmt: skip
        oracle, clone = AnsweredThere(threat), None
        for clone in attack.run(oracle, kit):  # type: ignore[arg-type]  # noqa: B007
            pass
        assert clone is not None
        if isinstance(clone, DeferredClone):
            clone = clone.make(oracle.spent, kit.branch(1))
        assert isinstance(clone(torch.rand(2, *SHAPE, device=there)), Elsewhere)


@rehearsal
def test_the_pretended_device_refuses_what_a_card_would() -> None:
    with pretended() as there:
        x = torch.rand(3, device=there)
        with pytest.raises(MixedDevicesError):
            x + torch.rand(3)
        with pytest.raises(MixedDevicesError):
            torch.rand(3, generator=Generator("cpu"), device=there)
        assert x.sum().item() > 0
        assert sum(WAITS.values()) == 1
