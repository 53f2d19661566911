"""Ratios of weights from pairs of words, by known answers."""

import pytest
import torch

from clonecost.text.word_equations import centred, ratios
from clonecost.text.word_model import Norm


@pytest.mark.parametrize("norm", ["l2", "l1"])
@pytest.mark.parametrize("classes", [2, 5])
def test_ratios_are_found_to_the_last_digits(norm: Norm, classes: int) -> None:
    rng = torch.Generator().manual_seed(3)
    theta = torch.randn(40, classes, generator=rng, dtype=torch.float64)
    theta = theta - theta.mean(1, keepdim=True)
    known = -theta.roll(1, 1) if classes > 2 else -theta * 0.7  # pointing away
    wanted = torch.rand(40, generator=rng, dtype=torch.float64) * 5 + 0.1
    size = (wanted**2 + 1).sqrt() if norm == "l2" else wanted + 1
    beside = (wanted[:, None] * theta + known) / size[:, None]
    assert torch.allclose(ratios(beside, theta, known, norm), wanted, rtol=1e-9)


def test_centred_logarithms_do_not_depend_on_a_factor_and_a_zero_is_half_a_step() -> None:
    answers = torch.tensor([[0.2, 0.8], [1.0, 0.0]])
    assert torch.allclose(centred(answers[:1]), centred(answers[:1] * 3))
    assert float(centred(answers, 0.01)[1].diff()) == pytest.approx(-5.298, abs=1e-3)
