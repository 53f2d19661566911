"""The utility columns of a defence, against values worked out by hand."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from clonecost.evaluation.utility import calibration_error, latency, utility

CLEAN = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.2, 0.8]])
SERVED = torch.tensor([[0.8, 0.2], [0.4, 0.6], [0.3, 0.7], [0.2, 0.8]])
LABELS = torch.tensor([0, 0, 0, 1])


def test_flips_and_distance() -> None:
    found = utility(CLEAN, SERVED)
    assert (found.rows, found.flips.value) == (4, 0.25)
    assert found.l1_mean == pytest.approx(0.6 / 4)
    assert found.l1_max == pytest.approx(0.4)
    missing = (found.accuracy, found.nll, found.ece, found.auroc_errors, found.auroc_outliers)
    assert missing == (None,) * 5


def test_what_needs_labels() -> None:
    found = utility(CLEAN, SERVED, LABELS)
    assert found.accuracy
    assert found.nll
    assert found.ece
    assert found.auroc_errors
    assert (found.accuracy.before.value, found.accuracy.after.value) == (0.75, 0.5)
    assert found.nll.before == pytest.approx(-sum(map(math.log, [0.9, 0.6, 0.3, 0.8])) / 4)
    assert found.nll.after == pytest.approx(-sum(map(math.log, [0.8, 0.4, 0.3, 0.8])) / 4)
    # right rows .9 .6 .8, the wrong one .7: 2 of 3 pairs in order; then right .8 .8, wrong .6 .7
    assert found.auroc_errors.before == pytest.approx(2 / 3)
    assert found.auroc_errors.after == 1


def test_calibration_error_in_15_bins() -> None:
    # one row a bin: |1 - .9| + |1 - .6| + |0 - .7| + |1 - .8|
    assert calibration_error(CLEAN, LABELS) == pytest.approx((0.1 + 0.4 + 0.7 + 0.2) / 4)
    in_one_bin = torch.tensor([[0.75, 0.25]] * 4)
    assert calibration_error(in_one_bin, LABELS) == pytest.approx(0)
    certain = torch.eye(2)[[0, 1]]
    assert calibration_error(certain, torch.tensor([0, 0])) == pytest.approx(0.5)


def test_an_answer_of_zero_for_the_true_class_costs_a_finite_amount() -> None:
    found = utility(CLEAN, torch.eye(2)[CLEAN.argmax(1)], LABELS)
    assert found.nll
    assert found.nll.after == pytest.approx(-math.log(1e-7) / 4)


def test_outliers_are_told_by_the_largest_probability() -> None:
    outliers = torch.tensor([[0.65, 0.35], [0.5, 0.5]])
    flat = torch.full((2, 2), 0.5)
    found = utility(CLEAN, torch.full((4, 2), 0.5), None, (outliers, flat))
    assert found.auroc_outliers
    assert found.auroc_outliers.before == pytest.approx(7 / 8)  # only .6 < .65 is out of order
    assert found.auroc_outliers.after == 0.5  # a defence that hides all confidence


def test_without_wrong_rows_there_is_no_curve() -> None:
    found = utility(CLEAN, SERVED, CLEAN.argmax(1))
    assert found.auroc_errors is None
    assert found.accuracy
    assert found.accuracy.before.value == 1


def test_numbers_agree_with_an_independent_sum() -> None:
    rng = np.random.default_rng(0)
    answers, labels = rng.dirichlet(np.ones(5), 300), rng.integers(0, 5, 300)
    confidence, right = answers.max(1), answers.argmax(1) == labels
    edges, total = np.linspace(0, 1, 16), 0.0
    for low, high in itertools.pairwise(edges):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    found = calibration_error(torch.from_numpy(answers), torch.from_numpy(labels))
    assert found == pytest.approx(total)


def test_latency_is_the_least_of_several_calls_a_row() -> None:
    now = [0.0]
    sizes: list[int] = []

    def takes(seconds: float):  # type: ignore[no-untyped-def]
        def answer(inputs: Tensor, /) -> Tensor:
            sizes.append(len(inputs))
            now[0] += seconds * len(inputs) * (2 if len(sizes) % 2 else 1)
            return inputs

        return answer

    found = latency(takes(0.001), takes(0.003), torch.rand(3, 2), clock=lambda: now[0])
    assert (found.batch_1.before, found.batch_1.after) == pytest.approx((1, 3))
    assert found.batch_128.difference == pytest.approx(2)
    assert set(sizes) == {1, 128}
