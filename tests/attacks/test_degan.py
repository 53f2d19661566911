import pytest
import torch
from tests.support.recording_oracle import RecordingOracle
from tests.support.toys import SHAPE, toy_student
from torch import Tensor, nn

from clonecost.attacks import degan
from clonecost.attacks.base import AttackerKit
from clonecost.attacks.degan import Degan, agreement, answered
from clonecost.errors import SpecError
from clonecost.networks.dcgan import DcganGenerator
from clonecost.types import LabelledInputs


def kit(network: nn.Module | None, proxy: LabelledInputs | None, **changes: object) -> AttackerKit:
    settings: dict[str, object] = {
        "student": toy_student, "generator": lambda latent, *, width: nn.Identity(),
        "proxy": proxy, "rng": torch.Generator().manual_seed(0), "device": torch.device("cpu"),
        "horizon": 0, "white_box": network,
    }  # fmt: skip
    return AttackerKit(**{**settings, **changes})  # type: ignore[arg-type]


@pytest.fixture
def opened(network: nn.Module) -> nn.Module:
    return network.eval().requires_grad_(False)


def test_the_network_makes_the_generators_classes_balanced(
    opened: nn.Module, proxy: LabelledInputs
) -> None:
    one = proxy.inputs[:200].clone()
    one[:, :, :, :4] //= 8  # dark on one side: few classes
    data = LabelledInputs(one, torch.zeros(200, dtype=torch.int64))

    def rarest(diversity: float) -> float:
        attack = Degan(gan_epochs=25, gan_batch=50, gan_width=4, gan_lr=2e-3, diversity=diversity)
        generator = attack.trained_generator(opened, kit(opened, data))
        assert not generator.training
        assert not any(p.requires_grad for p in generator.parameters())
        _, logits = answered(generator, opened, 300, torch.Generator().manual_seed(1))
        return float(logits.softmax(1).mean(0).min())

    assert rarest(50.0) > rarest(0.0) + 0.05


def test_a_batch_of_the_gan_is_a_25th_of_the_proxy(
    opened: nn.Module, proxy: LabelledInputs
) -> None:
    seen: list[tuple[int, bool]] = []
    handle = opened.register_forward_pre_hook(
        lambda _, args: seen.append((len(args[0]), args[0].requires_grad))
    )
    Degan(gan_epochs=2, gan_width=4).trained_generator(opened, kit(opened, proxy.take(slice(300))))
    handle.remove()
    assert seen == [(12, True)] * 50


def test_the_student_ends_with_the_weights_of_its_best_agreement(
    opened: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted_agreement = iter([0.5, 0.7, 0.7, 0.6, 0.65])
    states: list[Tensor] = []

    def scripted(student: nn.Module, images: Tensor, logits: Tensor) -> float:
        assert not student.training
        assert len(images) == len(logits) == 3 * 8
        states.append(student[1].weight.clone())  # type: ignore[index]
        return next(scripted_agreement)

    monkeypatch.setattr(degan, "agreement", scripted)
    generator = DcganGenerator(SHAPE, 4).eval().requires_grad_(False)
    statistics = {key: value.clone() for key, value in generator.state_dict().items()}
    student = toy_student()
    attack = Degan(batch_size=8, batches=2, validation_batches=3, epochs=9, patience=2)
    attack.distil(student, generator, opened, 1e-2, kit(opened, None))
    assert len(states) == 5  # .7 stood for more than two epochs
    assert torch.equal(student[1].weight, states[1])  # type: ignore[index]
    assert not torch.equal(states[1], states[2])
    assert all(torch.equal(generator.state_dict()[key], statistics[key]) for key in statistics)


def test_images_are_fresh_in_every_epoch(opened: nn.Module) -> None:
    seen: list[Tensor] = []
    handle = opened.register_forward_pre_hook(lambda _, args: seen.append(args[0].clone()))
    attack = Degan(batch_size=8, batches=2, validation_batches=1, epochs=3, patience=9)
    generator = DcganGenerator(SHAPE, 4).eval().requires_grad_(False)
    attack.distil(toy_student(), generator, opened, 1e-3, kit(opened, None))
    handle.remove()
    rows = [row.numpy().tobytes() for x in seen for row in x]
    assert len(rows) == len(set(rows)) == 3 * (16 + 8)
    assert 0 <= min(x.min() for x in seen) <= max(x.max() for x in seen) <= 1


def test_agreement_is_counted_over_all_parts() -> None:
    images = torch.rand(degan.AT_ONCE + 10, 3)
    logits = images.clone()
    logits[-20:] = logits[-20:].flip(1)
    same = (images.argmax(1) == logits.argmax(1)).float().mean().item()
    assert agreement(nn.Identity(), images, logits) == pytest.approx(same)


def test_a_run_without_proxy_or_network_is_refused(opened: nn.Module) -> None:
    for network, sentence in ((opened, "proxy data"), (None, "access='white-box'")):
        with pytest.raises(SpecError, match=sentence):
            next(Degan().run(RecordingOracle(0, access="white-box"), kit(network, None)))
