from pathlib import Path

import pytest
import torch
from tests.support.table_runs import agreement, steal, total_variation
from tests.support.table_toys import COLOUR, TableToy, linear_toy, numbers
from tests.support.toys import CLASSES

from clonecost.attacks.tramer_lr import TramerLr
from clonecost.defences.rounding import Rounding
from clonecost.tabular.models import LinearModel


def test_two_classes_cost_d_plus_1_queries_and_every_weight_is_right(tmp_path: Path) -> None:
    toy = linear_toy(numbers(12), 2)
    (clone,), spent = steal(TramerLr(checks=0), toy, tmp_path)
    assert spent == 13
    with torch.random.fork_rng():
        torch.manual_seed(7)  # as the toy was made
        truth = LinearModel(toy.features, 2).linear
        with torch.no_grad():
            truth.weight.normal_()
            truth.bias.normal_(std=0.1)
    assert isinstance(clone, LinearModel)
    w = clone.linear.weight.diff(dim=0) - truth.weight.diff(dim=0)
    b = clone.linear.bias.diff() - truth.bias.diff()
    assert bool((w.abs() < 1e-8).all())
    assert bool((b.abs() < 1e-8).all())


def test_with_fewer_queries_than_unknowns_it_is_not_exact(tmp_path: Path) -> None:
    toy = linear_toy(numbers(12), 2)
    (clone,), spent = steal(TramerLr(alpha=0.5, checks=0), toy, tmp_path)
    assert spent == 7
    assert total_variation(clone, toy) > 1e-3


@pytest.mark.parametrize("features", [numbers(8), (*numbers(4), COLOUR)], ids=["numbers", "both"])
def test_softmax_is_solved_with_as_many_queries_as_unknowns(
    features: tuple[object, ...], tmp_path: Path
) -> None:
    toy = linear_toy(features, CLASSES)  # type: ignore[arg-type]
    (clone,), spent = steal(TramerLr(checks=0), toy, tmp_path)
    width = sum(len(f.categories) or 1 for f in toy.features)
    assert spent == CLASSES * (width + 1)
    assert total_variation(clone, toy) < 1e-6
    assert agreement(clone, toy) == 1.0


def one_against_the_rest() -> TableToy:
    toy = linear_toy(numbers(6), CLASSES)
    model = LinearModel(toy.features, CLASSES, ovr=True)
    return TableToy(toy.features, CLASSES, lambda rows: model(rows).softmax(1).detach())


def test_one_against_the_rest_wants_its_own_equations(tmp_path: Path) -> None:
    toy = one_against_the_rest()
    (right,), _ = steal(TramerLr(model="ovr"), toy, tmp_path)
    (wrong,), _ = steal(TramerLr(model="softmax"), toy, tmp_path)
    assert total_variation(right, toy) < 1e-6 < 1e-3 < total_variation(wrong, toy)


def test_saturated_answers_have_no_logit_and_are_fitted(tmp_path: Path) -> None:
    toy = linear_toy(numbers(3), 2)
    coarse = Rounding(decimals=0)(toy.answer)
    (clone,), _ = steal(TramerLr(alpha=20.0), toy, tmp_path, victim=coarse)
    assert agreement(clone, toy) > 0.9


def test_a_milestone_is_what_its_own_budget_gives(tmp_path: Path) -> None:
    toy = linear_toy(numbers(5), CLASSES)
    (early, _), _ = steal(TramerLr(), toy, tmp_path, milestones=(10,))
    (alone,), _ = steal(TramerLr(), toy, tmp_path, budget=10)
    x = torch.rand(50, 5) * 0.5
    assert torch.equal(early(x), alone(x))
