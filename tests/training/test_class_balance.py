from math import log

import pytest
import torch

from clonecost.training.class_balance import imbalance


def test_known_values() -> None:
    one_each = 100 * torch.eye(4)
    assert imbalance(one_each).item() == pytest.approx(-log(4), abs=1e-4)
    assert imbalance(torch.zeros(5, 4)).item() == pytest.approx(
        -log(4), abs=1e-4
    )  # uniform answers are balanced
    assert imbalance(one_each[[0, 0, 0]]).item() == pytest.approx(0, abs=1e-4)
    half = imbalance(one_each[[0, 1, 1, 0]]).item()
    assert half == pytest.approx(-log(2), abs=1e-4)


def test_a_class_of_share_zero_has_a_finite_gradient() -> None:
    logits = torch.tensor([[1e4, 0.0, -1e4], [1e4, 0.0, -1e4]], requires_grad=True)
    imbalance(logits).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
