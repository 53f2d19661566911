from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.support.table_runs import agreement, steal
from tests.support.table_toys import COLOUR, TableToy, numbers, relu_toy
from torch import Tensor, nn

from clonecost.attacks.relu_exact import ReluExact
from clonecost.errors import SpecError
from clonecost.tabular.features import uniform_rows
from clonecost.tabular.models import ReluModel
from clonecost.types import ThreatModel


def log_ratios(p: Tensor) -> Tensor:
    return p[:, 1:].log() - p[:, :1].log()


@torch.no_grad()
def largest_error(clone: nn.Module, toy: TableToy) -> float:
    x = uniform_rows(toy.features, 2_000, torch.Generator().manual_seed(5)).double()
    return float((log_ratios(clone(x).softmax(1)) - log_ratios(toy.answer(x))).abs().max())


@pytest.mark.parametrize(("hidden", "classes", "most"), [(12, 4, 1_500), (6, 2, 1_500)])
def test_a_small_network_is_copied_to_rounding(
    hidden: int, classes: int, most: int, tmp_path: Path
) -> None:
    toy, remarks = relu_toy(8, hidden, classes), [""]
    clones, spent = steal(ReluExact(), toy, tmp_path, budget=5_000, remark=remarks.append)
    clone = clones[-1]
    assert isinstance(clone, ReluModel)
    assert len(clone.weight) <= hidden
    assert spent < most
    assert largest_error(clone, toy) < 1e-6
    assert remarks[-1] == ""


def test_rounded_answers_are_told_after_a_few_rows(tmp_path: Path) -> None:
    toy, remarks = relu_toy(8, 12, 3), [""]

    def rounded(rows: Tensor, /) -> Tensor:
        return toy.answer(rows).mul(100).round().div(100)

    def single(rows: Tensor, /) -> Tensor:
        return toy.answer(rows).float()

    for victim in (rounded, single):
        _, spent = steal(
            ReluExact(), replace(toy, answer=victim), tmp_path, remark=remarks.append
        )  # fmt: skip
        assert spent == 32
        assert "rounded" in remarks[-1]
        assert "tramer_mlp" in remarks[-1]


def test_a_curved_victim_is_told_and_the_budget_left(tmp_path: Path) -> None:
    remarks = [""]

    def curved(rows: Tensor, /) -> Tensor:
        z = torch.stack([rows[:, 0].sin(), rows[:, 1] ** 2, rows[:, 2]], 1).double()
        return (2 * z).softmax(1)

    toy = TableToy(numbers(3), 3, curved, precision="float64")
    clones, spent = steal(ReluExact(), toy, tmp_path, budget=20_000, remark=remarks.append)
    assert spent < 5_000
    assert "are curved" in remarks[-1]
    assert agreement(clones[-1], toy) > 0.3


def test_a_copy_at_a_milestone_is_of_the_units_found_until_then(tmp_path: Path) -> None:
    toy = relu_toy(8, 12, 4)
    clones, _ = steal(ReluExact(), toy, tmp_path, budget=5_000, milestones=(1, 20, 600))
    assert largest_error(clones[-1], toy) < 1e-6 < largest_error(clones[-2], toy)


def test_float32_rows_and_categories_are_refused_before_a_query() -> None:
    features = (*numbers(2), COLOUR)
    threat = ThreatModel(input_shape=(3,), num_classes=2, query_budget=9, features=features)
    refused = ReluExact().unfit(threat)
    assert isinstance(refused, SpecError)
    assert "float32" in str(refused)
    refused = ReluExact().unfit(replace(threat, input_precision="float64"))
    assert "categories" in str(refused)
