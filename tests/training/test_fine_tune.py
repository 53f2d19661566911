"""Pretrained students: probed, fine-tuned, and decided about on bought rows only."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from clonecost.backbones.backbone import Encoder
from clonecost.errors import SpecError
from clonecost.networks.pretrained import Pretrained
from clonecost.training.distill import Recipe, mean_kl
from clonecost.training.fine_tune import FineTune, fine_tune, layer_groups
from clonecost.training.linear_head import features_of, probe_head
from clonecost.training.recipes import shared_recipe, train

SHAPE, CLASSES = (1, 12, 12), 3
QUICK = FineTune(epochs=2, low_epochs=1, batch_size=16, lr=5e-3, bfloat16=False)


def body() -> Encoder:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(1, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        )  # fmt: skip
    return Encoder(network, SHAPE, "none")


def student(**how: bool) -> Pretrained:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return Pretrained(body(), 32, CLASSES, **how)


def rows(count: int = 120) -> Tensor:
    return torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(2))


def victim(frozen: bool) -> nn.Module:
    """The same backbone with a head of its own, or with other features, too."""
    net = student()
    rng = torch.Generator().manual_seed(3)
    with torch.no_grad():
        net.head.weight.copy_(torch.randn(net.head.weight.shape, generator=rng) * 5)
        if not frozen:
            for one in net.encoder.parameters():
                one.add_(0.3 * one.std() * torch.randn(one.shape, generator=rng))
    return net.eval()


def answers(net: nn.Module, inputs: Tensor) -> Tensor:
    with torch.no_grad():
        return net(inputs).softmax(1)


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_probing_copies_a_frozen_backbone_with_a_private_head() -> None:
    inputs = rows()
    wanted = answers(victim(frozen=True), inputs)
    net = student(frozen=True)
    fine_tune(net, inputs, wanted, FineTune(epochs=0, low_epochs=0), rng=rng())
    fresh = torch.rand(100, *SHAPE, generator=torch.Generator().manual_seed(9))
    assert mean_kl(net, fresh, answers(victim(frozen=True), fresh)) < 0.02
    untouched, moved = student().encoder.state_dict(), net.encoder.state_dict()
    assert all(torch.equal(untouched[key], moved[key]) for key in untouched)


def test_fine_tuning_is_no_worse_than_probing_and_moves_the_backbone() -> None:
    inputs = rows()
    wanted = answers(victim(frozen=False), inputs)
    probed, tuned = student(), student()
    fine_tune(probed, inputs, wanted, FineTune(epochs=0, low_epochs=0), rng=rng())
    fine_tune(tuned, inputs, wanted, replace(QUICK, epochs=6, augment="none"), rng=rng())
    assert mean_kl(tuned, inputs, wanted) < mean_kl(probed, inputs, wanted)
    before, after = student().encoder.state_dict(), tuned.encoder.state_dict()
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert "network.0.weight" in moved
    assert "network.1.running_mean" not in moved
    assert tuned.encoder.input_shape == SHAPE


def test_the_result_depends_on_the_seed_only_and_refused_rows_take_no_part() -> None:
    inputs = rows(60)
    wanted = answers(victim(frozen=False), inputs)
    one, two = student(), student()
    fine_tune(one, inputs, wanted, QUICK, rng=rng())
    torch.rand(3)
    more, zeros = torch.cat([inputs, inputs[:5]]), torch.zeros(5, CLASSES)
    fine_tune(two, more, torch.cat([wanted, zeros]), QUICK, rng=rng())
    found, again = one.state_dict(), two.state_dict()
    assert all(torch.equal(found[key], again[key]) for key in found)


def test_augmentation_is_decided_on_held_out_rows() -> None:
    """The victim reads one half of the picture: mirrored rows have other answers."""
    inputs = rows(200)
    side = inputs[..., :6].mean((1, 2, 3)) - inputs[..., 6:].mean((1, 2, 3))
    wanted = torch.stack([side * 80, -side * 80, torch.zeros(200)], 1).softmax(1)
    probed, never = student(), student()
    fine_tune(probed, inputs, wanted, QUICK, rng=rng())
    fine_tune(never, inputs, wanted, replace(QUICK, augment="none"), rng=rng())
    always = student()
    fine_tune(always, inputs, wanted, replace(QUICK, augment="crop+flip"), rng=rng())
    assert mean_kl(never, inputs, wanted) < mean_kl(always, inputs, wanted)
    chosen, better = probed.state_dict(), never.state_dict()
    assert all(torch.equal(chosen[key], better[key]) for key in better)  # the whole training


def test_rates_fall_towards_the_input() -> None:
    groups = layer_groups(student(), FineTune(lr=1.0, layer_decay=0.5))
    rates = [group["lr"] for group in groups]
    assert rates == sorted(rates)
    assert rates[-1] == 1.0
    assert rates[0] == 0.5 ** (len(groups) - 1)
    counted = sum(len(group["params"]) for group in groups)
    assert counted == len(list(student().parameters()))


def test_the_head_is_exact_where_features_decide_all() -> None:
    net, inputs = student(), rows(300)
    wanted = answers(victim(frozen=True), inputs)
    held_out = torch.arange(300) < 30
    probe_head(
        net, features_of(net, inputs, torch.arange(300)), wanted, held_out, strengths=(1e-1, 1e-6)
    )
    assert net.training
    assert mean_kl(net, inputs, wanted) < 1e-3


def test_a_head_that_is_compared_on_held_out_rows_has_not_seen_them() -> None:
    inputs = rows(40)
    wanted = answers(victim(frozen=True), inputs)
    held_out = torch.arange(40) < 10
    changed = torch.where(held_out[:, None], wanted.flip(1), wanted)
    heads = []
    for told in (wanted, changed):
        one = student()
        features = features_of(one, inputs, torch.arange(40))
        probe_head(one, features, told, held_out, [1e-2], whole=False)
        heads.append(one.head.weight.detach())
    assert torch.equal(*heads)


def test_the_shared_recipe_goes_by_the_students_start() -> None:
    assert isinstance(shared_recipe(student()), FineTune)
    assert isinstance(shared_recipe(student(pretrained=False)), Recipe)
    assert shared_recipe(student(), 9).epochs == 9
    with pytest.raises(SpecError, match="backbone"):
        train(nn.Flatten(), rows(4), torch.eye(3)[:1].repeat(4, 1), QUICK, rng=rng())


LARGE = (1, 48, 48)


class OneSize(nn.Module):
    """An encoder that takes pictures of its own size only, as a vision transformer does."""

    def __init__(self) -> None:
        super().__init__()
        self.input_shape, self.layer = LARGE, nn.Linear(144, 6)

    def forward(self, x: Tensor) -> Tensor:
        if self.input_shape != LARGE:
            raise ValueError(f"Input height {self.input_shape} does not match")
        return self.layer(nn.functional.adaptive_avg_pool2d(x, 12).flatten(1))


def test_an_encoder_of_one_size_is_trained_at_that_size() -> None:
    inputs, encoder = rows(60), OneSize()
    net = Pretrained(encoder, 6, CLASSES)
    smaller = replace(QUICK, low_resolution=0.5, augment="none")
    fine_tune(net, inputs, answers(victim(frozen=True), inputs), smaller, rng=rng())
    assert encoder.input_shape == LARGE


def test_a_whole_number_is_a_temperature_too() -> None:
    """The type of the number never chooses the loss."""
    inputs = rows(40)
    wanted = answers(victim(frozen=False), inputs)
    tuned = []
    for temperature in (20, 20.0, None):
        net = student()
        how = replace(QUICK, augment="none", temperature=temperature)
        fine_tune(net, inputs, wanted, how, rng=rng())
        tuned.append(net.head.weight)
    assert torch.equal(tuned[0], tuned[1])
    assert not torch.equal(tuned[0], tuned[2])
