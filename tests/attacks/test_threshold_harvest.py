from pathlib import Path

import pytest
import torch
from tests.support.table_runs import agreement, steal, total_variation
from tests.support.table_toys import COLOUR, TableToy, linear_toy, numbers
from torch import Tensor

from clonecost.attacks.threshold_harvest import ThresholdHarvest
from clonecost.errors import SpecError
from clonecost.tabular.binned import BinnedModel
from clonecost.types import Feature

CUTS = ((-0.9, 0.31), (0.1, 0.2, 0.77), (-1.4,))  # of numbers(3)
SMALL = ThresholdHarvest(iterations=40, places=9, checks=30, rounds=2)


def stumps(rows: Tensor, /) -> Tensor:
    """Boosted stumps of three classes: sums of steps, and a category."""
    x = rows.double()
    scores = torch.zeros(len(x), 3, dtype=torch.float64)
    for k, cuts in enumerate(CUTS):
        for number, cut in enumerate(cuts):
            scores[:, (k + number) % 3] += (1 + 0.3 * k - 0.5 * number) * (x[:, k] > cut)
    if x.shape[1] > 3:
        scores[:, 0] += 1.5 * (x[:, 3] == 1)
    return (scores + torch.tensor([0.0, 0.07, 0.03])).softmax(1)


def pairs(rows: Tensor, /) -> Tensor:
    """Trees of depth two, one of which no line through a row of the other side shows."""
    x = rows.double()
    score = 2.0 * ((x[:, 0] > 0.31) & (x[:, 1] > 0.2)) - 1.5 * ((x[:, 1] < -0.5) & (x[:, 2] > 0.1))
    p = (score - 0.3).sigmoid()
    return torch.stack([1 - p, p], 1)


def edges(clone: object) -> list[list[float]]:
    assert isinstance(clone, BinnedModel)
    return [[float(one) for one in row if one.isfinite()] for row in clone.bins.edges]


@pytest.mark.parametrize("features", [numbers(3), (*numbers(3), COLOUR)], ids=["numbers", "mixed"])
def test_stumps_are_copied_exactly_for_less_than_the_budget(
    features: tuple[Feature, ...], tmp_path: Path
) -> None:
    toy = TableToy(features, 3, stumps)
    clones, spent = steal(SMALL, toy, tmp_path, budget=5_000)
    assert spent < 400
    for found, cuts in zip(edges(clones[-1]), CUTS, strict=False):
        assert len(found) == len(cuts)
        assert all(abs(one - cut) <= 1e-5 * 3 for one, cut in zip(found, cuts, strict=True))
    assert total_variation(clones[-1], toy) < 1e-3  # a row within a step of a threshold
    assert agreement(clones[-1], toy) >= 0.999


def test_thresholds_that_no_line_crosses_are_found_by_cells(tmp_path: Path) -> None:
    toy = TableToy(numbers(3), 2, pairs)
    clones, spent = steal(SMALL, toy, tmp_path, budget=900)
    assert spent == 900
    wanted = [[0.31], [-0.5, 0.2], [0.1]]
    for found, cuts in zip(edges(clones[-1]), wanted, strict=True):
        assert len(found) == len(cuts)
        assert all(abs(one - cut) <= 1e-4 for one, cut in zip(found, cuts, strict=True))
    assert agreement(clones[-1], toy) > 0.999


def test_the_search_for_thresholds_keeps_to_its_share(tmp_path: Path) -> None:
    """A staircase with more steps than the budget holds."""

    def stairs(rows: Tensor, /) -> Tensor:
        p = ((rows.double() * 400).floor() / 400).sum(1).sigmoid()
        return torch.stack([1 - p, p], 1)

    toy = TableToy(numbers(3), 2, stairs)
    clones, spent = steal(SMALL, toy, tmp_path, budget=600, milestones=(150,))
    assert spent == 600
    assert agreement(clones[-1], toy) > 0.9
    assert agreement(clones[-1], toy) >= agreement(clones[0], toy) - 0.02


def test_many_numbers_leave_rows_for_the_clone(tmp_path: Path) -> None:
    """33 places on each of 20 lines are more rows than the budget has."""

    def steps(rows: Tensor, /) -> Tensor:
        p = (rows.double()[:, :4] > 0.1).double().sum(1).sub(1.8).sigmoid()
        return torch.stack([1 - p, p], 1)

    toy = TableToy(numbers(20), 2, steps)
    clones, spent = steal(ThresholdHarvest(iterations=40), toy, tmp_path, budget=400)
    assert spent < 400  # a sum over features, which is exact
    assert agreement(clones[-1], toy) > 0.99


def test_a_smooth_victim_is_told_and_costs_no_search(tmp_path: Path) -> None:
    remarks = [""]
    toy = linear_toy(numbers(4), 3)
    clones, spent = steal(SMALL, toy, tmp_path, budget=500, remark=remarks.append)
    assert spent == 500
    assert "tramer_lr" in remarks[-1]
    assert agreement(clones[-1], toy) > 0.8


def test_missing_values_are_a_bin_of_their_own(tmp_path: Path) -> None:
    def gaps(rows: Tensor, /) -> Tensor:
        x = rows.double()
        p = (2.0 * (x[:, 0] > 0.3) + 3.0 * x[:, 1].isnan() - 1.5).sigmoid()
        return torch.stack([1 - p, p], 1)

    toy = TableToy(numbers(3), 2, gaps, incomplete=True)
    clones, _ = steal(SMALL, toy, tmp_path, budget=3_000)
    rows = torch.tensor([[0.1, 0.0, 0.0], [0.1, torch.nan, 0.0], [0.9, torch.nan, torch.nan]])
    assert (clones[-1](rows).softmax(1) - gaps(rows)).abs().max() < 1e-6


def test_a_clone_of_one_boosting_step_is_fitted_in_every_round(tmp_path: Path) -> None:
    attack = ThresholdHarvest(iterations=1, places=9, checks=30, rounds=2)
    clones, spent = steal(attack, TableToy(numbers(3), 2, pairs), tmp_path, budget=600)
    assert spent == 600
    assert agreement(clones[-1], TableToy(numbers(3), 2, pairs)) > 0.5


def test_a_share_above_one_is_refused() -> None:
    with pytest.raises(SpecError, match=r"threshold_harvest\.harvest .* want at most 1"):
        ThresholdHarvest(harvest=1.5)
