"""Features: the Fréchet distance of known Gaussians, and answers that no honest row gets."""

from dataclasses import replace

import numpy as np
import pytest
from tests.support.digit_streams import honest

from clonecost.detectors.features import Features, frechet, roots


def test_identical_moments_have_no_distance() -> None:
    spread = np.array([[2.0, 0.5], [0.5, 1.0]])
    assert frechet(np.ones(2), spread, np.ones(2), spread) == pytest.approx(0, abs=1e-9)


def test_a_shift_counts_by_its_square() -> None:
    spread = np.array([[2.0, 0.5], [0.5, 1.0]])
    assert frechet(np.zeros(2), spread, np.array([3.0, 4.0]), spread) == pytest.approx(25)


def test_two_gaussians_on_a_line() -> None:
    got = frechet(np.array([1.0]), np.array([[4.0]]), np.array([3.0]), np.array([[0.25]]))
    assert got == pytest.approx((1 - 3) ** 2 + (2 - 0.5) ** 2)


def test_roots_are_roots() -> None:
    spread = np.array([[[2.0, 0.5], [0.5, 1.0]]])
    root = roots(spread)
    np.testing.assert_allclose(root @ root, spread, atol=1e-12)


def test_chance_is_subtracted_and_other_answers_are_found() -> None:
    rows = honest()
    watch = Features().learn(rows.take(slice(600)), [])
    users = watch(rows.take(slice(600, 1_000)))
    assert abs(users[-1]) < 0.1
    assert rows.answers is not None
    unsure = replace(rows, answers=0.5 * rows.answers + 0.05)  # keeps the class
    assert watch(unsure.take(slice(600, 1_000)))[-1] > users.max() + 0.1


def test_skewed_classes_alone_are_no_distance() -> None:
    rows = honest()
    watch = Features().learn(rows.take(slice(600)), [])
    rest = rows.take(slice(600, 1_197))
    few_classes = rest.take(np.flatnonzero(rest.top < 3))
    assert abs(watch(few_classes)[-1]) < 0.15
