"""GANs of a few channels on images with two parameters."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from clonecost.errors import SpecError
from clonecost.generators import dcgan, gan_training, progan, sngan
from clonecost.generators.base import Samples, ToImages, Train, TrainingResult, standard_normal
from clonecost.generators.frechet import frechet_pixels_8x8
from clonecost.generators.recipes import DcganRecipe, ProganRecipe, SnganRecipe
from clonecost.networks.progan import shrunk
from clonecost.training.gradient_penalty import gradient_penalty
from clonecost.types import LabelledInputs, no_progress

CPU = torch.device("cpu")
SNGAN = SnganRecipe(
    epochs=6, batch_size=16, generator_batch_size=16, critic_steps=1, width=8, critic_width=8,
    lr=5e-3, ema=0.9,
)  # fmt: skip
PROJECTION = replace(SNGAN, conditional=True)
DCGAN = DcganRecipe(epochs=12, batch_size=16, width=4, lr=2e-3, ema=0.9)
PROGAN = ProganRecipe(epochs=4, batch_size=32, width=4, ema=0.9)
KINDS: dict[str, tuple[Train, Any, ToImages, Samples, int]] = {
    "sngan": (sngan.train_sngan, SNGAN, sngan.decode_sngan, standard_normal, 128),
    "projection": (sngan.train_sngan, PROJECTION, sngan.decode_sngan, standard_normal, 128 + 2),
    "dcgan": (dcgan.train_dcgan, DCGAN, dcgan.decode_dcgan, standard_normal, 100),
    "progan": (progan.train_progan, PROGAN, progan.decode_progan, progan.uniform, 256),
}


def ramps(count: int, seed: int, side: int = 16) -> LabelledInputs:
    """Brightness and slope; the class is the sign of the slope."""
    rng = torch.Generator().manual_seed(seed)
    level, slope = torch.rand(2, count, 1, 1, 1, generator=rng)
    ramp = torch.linspace(-1, 1, side).expand(1, 1, side, side)
    pixels = (0.5 + 0.5 * (level - 0.5) + 0.7 * (slope - 0.5) * ramp).mul(255).byte()
    return LabelledInputs(pixels, (slope.flatten() > 0.5).long(), name="ramps")


def trained(
    kind: str, *, seed: int = 0, side: int = 16, rows: int = 320, **changes: Any
) -> TrainingResult:
    train, recipe = KINDS[kind][:2]
    data, held_out = ramps(rows, 0, side), ramps(70, 1, side)
    recipe = replace(recipe, **changes)
    return train(data, held_out, recipe, seed=seed, device=CPU, progress=no_progress)


def made_by(kind: str, made: TrainingResult, rows: int = 300) -> Tensor:
    decode, draw, dim = KINDS[kind][2:]
    return decode(made.network, draw(rows, dim, torch.Generator().manual_seed(3)))


def towards(real: Tensor, samples: Tensor, share: float = 0.6) -> bool:
    """Whether the samples are much closer than the mean image."""
    grey = real.mean(0, keepdim=True).expand(len(real), -1, -1, -1)
    return frechet_pixels_8x8(real, samples) < share * frechet_pixels_8x8(real, grey)


@pytest.mark.parametrize(
    ("kind", "side", "rows", "share"), [("sngan", 8, 224, 0.6), ("dcgan", 16, 320, 0.8)]
)
def test_training_moves_towards_the_data(kind: str, side: int, rows: int, share: float) -> None:
    made = trained(kind, side=side, rows=rows)
    assert towards(ramps(300, 2, side).rows(slice(None)), made_by(kind, made), share)
    assert not made.network.training
    assert [loss["epoch"] for loss in made.losses] == list(range(1, len(made.losses) + 1))


def test_progan_moves_towards_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to 8x8, because larger stages are slow."""
    monkeypatch.setattr(progan, "STAGES", progan.STAGES[:3])
    made, small = trained("progan", side=32), shrunk(ramps(300, 2, 32).rows(slice(None)), 1)
    z = progan.uniform(300, 256, torch.Generator().manual_seed(3))
    samples = ((made.network(z, 1) + 1) / 2).clamp(0, 1)
    assert towards(small, samples)
    assert [loss["stage"] for loss in made.losses] == [0] * 4 + [1] * 8
    assert [loss["fading"] for loss in made.losses] == [0] * 4 + [1] * 4 + [0] * 4
    assert made.losses[-1]["penalty"] < 0.2


def test_each_class_has_its_own_images() -> None:
    made = trained("projection", side=8, rows=224)
    assert made.classes == 2
    assert towards(ramps(300, 2, 8).rows(slice(None)), made_by("projection", made))
    noise = torch.randn(200, 128, generator=torch.Generator().manual_seed(3))
    rises = []
    for label in torch.eye(2):
        z = torch.cat([noise, label.expand(200, 2)], 1)
        images = sngan.decode_sngan(made.network, z)
        rises.append((images[..., 4:].mean() - images[..., :4].mean()).item())
    assert rises[0] < -0.05 < 0.05 < rises[1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_repeats_the_weights_and_the_global_state_does_not_change(kind: str) -> None:
    state = torch.get_rng_state()
    first, again, other = (
        trained(kind, seed=seed, rows=40, epochs=1).network.state_dict() for seed in (0, 0, 1)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("kind", KINDS)
def test_the_result_is_the_moving_average(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand from the weights after every step of G; its decay grows to the recipe's."""
    past: list[dict[str, Tensor]] = []
    move = AveragedModel.update_parameters

    def recorded(self: AveragedModel, model: nn.Module) -> None:
        past.append({name: p.detach().clone() for name, p in model.named_parameters()})
        move(self, model)

    monkeypatch.setattr(AveragedModel, "update_parameters", recorded)
    monkeypatch.setattr(progan, "STAGES", progan.STAGES[-1:])
    kept = dict(trained(kind, rows=96, epochs=1, batch_size=32, ema=0.2).network.named_parameters())
    assert len(past) == 3
    for name, found in kept.items():
        wanted = past[0][name]
        for decay, step in zip((2 / 11, 0.2), past[1:], strict=True):  # not 3 / 12
            wanted = decay * wanted + (1 - decay) * step[name]
        torch.testing.assert_close(found, wanted)
        assert not found.requires_grad
    assert any(not torch.equal(past[-1][name], found) for name, found in kept.items())


def test_without_an_average_the_last_weights_are_kept() -> None:
    generator = nn.Linear(2, 2)
    average = gan_training.moving_average(generator, 0.0)
    for _ in range(3):
        nn.init.normal_(generator.weight, generator=torch.Generator().manual_seed(0))
        average.update_parameters(generator)
    kept = gan_training.finalise(average, (), CPU)
    assert torch.equal(kept.weight, generator.weight)  # type: ignore[arg-type]


def test_batch_norm_statistics_belong_to_the_final_weights() -> None:
    generator = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    average = gan_training.moving_average(generator, 0.9)
    draws = [torch.randn(50, 3, generator=torch.Generator().manual_seed(n)) for n in range(4)]
    kept = gan_training.finalise(average, draws, CPU)
    assert isinstance(kept, nn.Sequential)
    before = kept[0](torch.cat(draws))
    torch.testing.assert_close(kept[1].running_mean, before.mean(0))
    assert not kept.training


def test_the_penalty_is_the_formula_with_one_coefficient_a_row() -> None:
    seen: list[Tensor] = []

    def critic(images: Tensor) -> Tensor:
        seen.append(images.detach())
        return images.square().sum((1, 2, 3)) / 2  # its gradient is the image

    real, fake = torch.ones(5, 1, 2, 2), torch.zeros(5, 1, 2, 2)
    rng = torch.Generator().manual_seed(0)
    found = gradient_penalty(critic, real, fake, 1.5, rng)
    mix = seen[0][:, 0, 0, 0]
    assert (seen[0] == mix.view(5, 1, 1, 1)).all()
    assert len(set(mix.tolist())) == 5
    assert 0 <= mix.min() < mix.max() <= 1
    torch.testing.assert_close(found, (2 * mix - 1.5).square().mean())


def test_the_penalty_has_a_gradient_in_the_critic() -> None:
    """D(x) = w x: the penalty is (|w| - 1)^2 and its gradient 2 (|w| - 1) w / |w|."""
    linear = nn.Linear(4, 1)
    critic, weight = nn.Sequential(nn.Flatten(), linear, nn.Flatten(0)), linear.weight
    images = torch.rand(2, 6, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    penalty = gradient_penalty(critic, images[0], images[1], 1.0, torch.Generator().manual_seed(0))
    penalty.backward()
    length = weight.detach().norm()
    torch.testing.assert_close(penalty.detach(), (length - 1).square())
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad, 2 * (length - 1) * weight.detach() / length)
    assert linear.bias.grad is None or linear.bias.grad.count_nonzero() == 0


def test_a_constant_critic_has_a_penalty_without_nans() -> None:
    linear = nn.Linear(4, 1)
    critic = nn.Sequential(nn.Flatten(), linear, nn.Flatten(0))
    nn.init.zeros_(linear.weight)
    images = torch.zeros(2, 3, 1, 2, 2)
    penalty = gradient_penalty(critic, images[0], images[1], 1.0, torch.Generator().manual_seed(0))
    penalty.backward()
    assert penalty.item() == pytest.approx(1, abs=1e-4)
    assert linear.weight.grad is not None
    assert linear.weight.grad.isfinite().all()


def test_stages_are_the_published_seven() -> None:
    names = [f"{4 * 2**stage}{'f' if fading else ''}" for stage, fading in progan.STAGES]
    assert names == ["4", "8f", "8", "16f", "16", "32f", "32"]
    z = progan.uniform(1000, 4, torch.Generator().manual_seed(0))
    assert -5 <= z.min() < -4.9
    assert 4.9 < z.max() <= 5


def test_hinge_is_the_formula() -> None:
    real, fake = torch.tensor([2.0, 0.5, -1.0]), torch.tensor([-3.0, -0.5, 1.0])
    assert sngan.hinge(real, fake).item() == pytest.approx((0.5 + 2) / 3 + (0.5 + 2) / 3)


def test_classes_are_drawn_as_often_as_in_the_data() -> None:
    labels = torch.tensor([0] * 90 + [2] * 10)
    data = LabelledInputs(torch.zeros(100, 1, 8, 8), labels)
    assert sngan.count_classes(data) == 3
    z, drawn = sngan.draw_latents(4_000, data, 3, torch.Generator().manual_seed(0))
    assert drawn is not None
    assert torch.equal(z[:, 128:].argmax(1), drawn)
    assert (drawn == 2).float().mean().item() == pytest.approx(0.1, abs=0.02)
    assert z[:, :128].std().item() == pytest.approx(1, abs=0.01)
    named = replace(data, classes=("a", "b", "c", "d"))
    assert sngan.count_classes(named) == 4  # one of which this part of the data lacks
    for bad in (torch.zeros(100), torch.full((100,), -1)):
        with pytest.raises(SpecError, match="no classes to condition on"):
            sngan.count_classes(replace(data, labels=bad.long()))


def test_batches_are_full_and_contain_every_row_once() -> None:
    def order(seed: int) -> Iterator[Tensor]:
        return gan_training.batches(10, 3, torch.Generator().manual_seed(seed))

    rows = list(order(0))
    assert [len(part) for part in rows] == [3, 3, 3]
    assert len(set(torch.cat(rows).tolist())) == 9
    assert any(not torch.equal(a, b) for a, b in zip(rows, order(1), strict=True))
    assert len(list(gan_training.batches(2, 3, torch.Generator()))) == 1
    assert all(not torch.equal(a, b) for a, b in pairwise(rows))
