"""E3's loss, and its temperature chosen on rows that were paid for."""

import pytest
import torch
from torch import nn

from clonecost.training.distill import Recipe, distill, mean_kl
from clonecost.training.losses import TEMPERATURES, floor_of, kl, tempered
from clonecost.training.recipes import best_temperature, train


def some(n: int = 200, k: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    return torch.rand(n, 8, generator=rng), torch.randn(8, k, generator=rng) * 3


def test_the_loss_at_one_is_kl_and_at_a_thousand_a_distance_of_logits() -> None:
    rng = torch.Generator().manual_seed(1)
    z, s = torch.randn(5, 4, generator=rng) * 3, torch.randn(5, 4, generator=rng) * 3
    assert torch.allclose(tempered(s, z.softmax(1), 1.0), kl(s, z.softmax(1)), atol=1e-5)
    centred = (z - z.mean(1, keepdim=True)) - (s - s.mean(1, keepdim=True))
    half_variance = centred.square().mean(1) / 2
    assert torch.allclose(tempered(s, z.softmax(1), 1000.0), half_variance, rtol=1e-2)


def test_its_gradient_survives_a_large_temperature() -> None:
    z = torch.tensor([[3.0, 0.0, -1.0]])
    s = torch.zeros(1, 3, requires_grad=True)
    tempered(s, z.softmax(1), 1000.0).sum().backward()
    assert s.grad is not None
    assert torch.allclose(s.grad, -(z - z.mean()) / 3, rtol=1e-2)


@pytest.mark.parametrize(
    ("answers", "floor"),
    [
        ([[0.25, 0.75, 0.0]], 0.005),
        ([[0.2, 0.8, 0.0]], 0.05),
        ([[0.1234, 0.8766, 0.0]], 0.00005),
        ([[0.123456, 0.876543, 0.000001]], 1e-6),
        ([[1.0, 0.0, 0.0]], 0.05),
    ],
)
def test_probabilities_are_clipped_at_the_answers_resolution(
    answers: list[list[float]], floor: float
) -> None:
    assert floor_of(torch.tensor(answers)) == pytest.approx(floor)


def test_a_rounded_zero_does_not_decide_the_loss() -> None:
    answers = torch.tensor([[0.6, 0.4, 0.0]])
    good = answers.clamp_min(0.05).log()
    assert tempered(good, answers, 1000.0, floor_of(answers)).item() < 1e-3
    assert tempered(good, answers, 1000.0).item() > 100


def net() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(8, 4))


def test_the_temperature_is_one_of_the_list_and_found_without_touching_the_student() -> None:
    inputs, weights = some()
    answers = (inputs @ weights).softmax(1)
    student = net()
    before = {key: value.clone() for key, value in student.state_dict().items()}
    recipe = Recipe(epochs=20, lr=0.05, temperature="sweep")
    rng = torch.Generator().manual_seed(0)
    found = best_temperature(student, inputs, answers, recipe, rng=rng)
    assert found in TEMPERATURES
    assert all(torch.equal(before[key], value) for key, value in student.state_dict().items())
    untrained = mean_kl(student, inputs, answers)
    train(student, inputs, answers, recipe, rng=torch.Generator().manual_seed(0))
    assert mean_kl(student, inputs, answers) < untrained / 2


def test_every_temperature_lowers_the_kl() -> None:
    inputs, weights = some()
    answers = (inputs @ weights).softmax(1)
    for temperature in TEMPERATURES:
        student = net()
        recipe = Recipe(epochs=20, lr=0.05, temperature=temperature)
        untrained = mean_kl(student, inputs, answers)
        distill(student, inputs, answers, recipe, rng=torch.Generator().manual_seed(0))
        assert mean_kl(student, inputs, answers) < untrained / 2, temperature
