import pytest
import torch
from torch import Tensor

from clonecost.tabular.binned import BinnedModel, Fit
from clonecost.tabular.binned_choice import fit_chosen, least_sure
from clonecost.tabular.features import uniform_rows
from clonecost.types import Feature

FEATURES = tuple(Feature(name=name, low=0, high=1) for name in "ab")
EDGES = [torch.tensor([0.25, 0.5]), torch.tensor([0.7])]
FIT = Fit(iterations=20, leaves=4)


@pytest.fixture(scope="module")
def rows() -> Tensor:
    return uniform_rows(FEATURES, 150, torch.Generator().manual_seed(0))


def answers_of(score: Tensor) -> Tensor:
    return torch.stack([-score, score], 1).div(2).softmax(1)


def test_a_sum_is_fitted_by_squares_and_a_product_by_cross_entropy(rows: Tensor) -> None:
    """Held-out rows decide: twenty steps of boosting do not reach log-odds of 8, a sum does."""
    a, b = rows.double().unbind(1)
    sums = answers_of(8.0 * (a > 0.25) - 5.0 * (a > 0.5) + 6.0 * (b > 0.7) - 2)
    model = fit_chosen(FEATURES, EDGES, rows, sums, seed=0, fit=FIT, scale="log-odds")
    assert isinstance(model, BinnedModel)
    assert (model(rows).softmax(1) - sums).abs().max() < 1e-6
    product = answers_of(3.0 * ((a > 0.5) ^ (b > 0.7)) - 1.5)
    model = fit_chosen(FEATURES, EDGES, rows, product, seed=0, fit=FIT, scale="log-odds")
    assert not model.additive.any()
    assert torch.equal(model(rows).argmax(1), product.argmax(1))


def test_a_class_that_hardly_any_row_has_keeps_its_place(rows: Tensor) -> None:
    answers = torch.zeros(len(rows), 3, dtype=torch.float64)
    answers[:, 2] = 1e-7
    answers[:, 0] = (rows[:, 0] > 0.5).double() * (1 - 1e-7)
    answers[:, 1] = 1 - answers[:, 0] - answers[:, 2]
    model = fit_chosen(FEATURES, EDGES, rows, answers, seed=0, fit=FIT, scale="log-odds")
    assert model(rows).shape == (len(rows), 3)
    assert torch.equal(model(rows).argmax(1), answers.argmax(1))


def test_the_least_sure_rows_lie_where_two_fits_disagree_or_waver(rows: Tensor) -> None:
    answers = answers_of(4.0 * (rows[:, 0].double() > 0.5) - 2 - 2.0 * (rows[:, 1].double() > 0.7))
    chosen = least_sure(
        FEATURES, EDGES, rows, answers, fit=FIT, order=torch.arange(len(rows)),
        candidates=rows, count=20,
    )  # fmt: skip
    a, b = rows[chosen].unbind(1)
    assert ((a > 0.5) & (b > 0.7)).all()  # log-odds of 0
