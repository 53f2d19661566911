import pytest
import torch
from tests.support.table_toys import COLOUR
from torch import Tensor

from clonecost.tabular.binned import Bins, Fit, Scale, fit_binned, targets
from clonecost.tabular.features import uniform_rows
from clonecost.types import Feature

FEATURES = (Feature(name="a", low=0, high=1), Feature(name="b", low=0, high=1), COLOUR)
EDGES = [torch.tensor([0.25, 0.5]), torch.tensor([0.7]), torch.empty(0)]


@pytest.fixture(scope="module")
def rows() -> Tensor:
    return uniform_rows(FEATURES, 400, torch.Generator().manual_seed(0))


def stumps(rows: Tensor) -> Tensor:
    """(n,) a score of the bins that no sum lacks."""
    a, b, colour = rows.double().unbind(1)
    return (a > 0.25) * 1.0 - (a > 0.5) * 2.5 + (b > 0.7) * 0.75 + (colour == 1) * 0.5


def test_a_row_is_its_bins_and_missing_is_the_last() -> None:
    bins = Bins(FEATURES, EDGES)
    rows = torch.tensor([[0.25, 0.9, 2.0], [0.6, 0.1, 0.0], [torch.nan] * 3])
    codes = bins(rows)
    assert codes.tolist() == [[0, 1, 2], [2, 0, 0], [3, 2, 3]]
    assert torch.equal(
        bins.columns(codes).nan_to_num(-1),
        torch.tensor([[0, 1, 0, 0, 1], [2, 0, 1, 0, 0], [-1] * 5]).double(),
    )


@pytest.mark.parametrize("scale", ["log-odds", "probability"])
def test_a_sum_over_features_is_copied_exactly(rows: Tensor, scale: Scale) -> None:
    score = stumps(rows)
    p = score.sigmoid() if scale == "log-odds" else 0.5 + score / 10
    answers = torch.stack([1 - p, p], 1)
    model = fit_binned(FEATURES, EDGES, rows[:200], answers[:200], seed=0, scale=scale)
    assert model.trees is None
    assert (model(rows).softmax(1) - answers).abs().max() < 1e-7


def test_trees_fit_what_no_sum_holds(rows: Tensor) -> None:
    both = ((rows[:, 0] > 0.5) & (rows[:, 1] > 0.7)).double() * 4 - 1
    answers = torch.stack([-both, both, both * 0], 1).softmax(1)
    sums = fit_binned(FEATURES, EDGES, rows, answers, seed=0)
    model = fit_binned(FEATURES, EDGES, rows, answers, seed=0, fit=Fit(iterations=60))
    errors = [(one(rows).softmax(1) - answers).abs().max() for one in (sums, model)]
    assert errors[0] > 0.1
    assert errors[1] < 0.02


def test_log_odds_of_more_classes_are_centred_and_zeros_stay_finite() -> None:
    y, mix = targets(torch.tensor([[0.5, 0.5, 0.0]]), "log-odds")
    assert abs(float(y.sum())) < 1e-9
    assert y.isfinite().all()
    assert mix.shape == (3, 3)
