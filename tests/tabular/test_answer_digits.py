"""What probabilities show: the step of their rounding, and how wide the last layer is."""

import pytest
import torch
from torch import Tensor

from clonecost.tabular.answer_digits import step_of, width_of


def answers(features: int, classes: int, rows: int) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    f = torch.randn(rows, features, generator=rng).double()
    weight = torch.randn(features, classes, generator=rng).double() / features**0.5
    return (f @ weight + torch.randn(classes, generator=rng)).softmax(1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_more_classes_than_features_show_the_features(dtype: torch.dtype) -> None:
    width = width_of(answers(12, 40, 60).to(dtype))
    assert width is not None
    assert (width.rank, width.seen) == (12, True)


def test_fewer_classes_or_rows_give_a_lower_bound() -> None:
    for features, classes, rows in ((12, 10, 60), (60, 90, 40)):
        width = width_of(answers(features, classes, rows))
        assert width is not None
        assert not width.seen
        assert width.rank <= features
    assert width_of(torch.eye(5)) is None


@pytest.mark.parametrize("decimals", [1, 2, 4])
def test_the_step_of_rounding_is_found(decimals: int) -> None:
    p = (answers(5, 4, 50) * 10**decimals).round() / 10**decimals
    assert step_of(p) == pytest.approx(10.0**-decimals)
    assert step_of(answers(5, 4, 50)) == 0
