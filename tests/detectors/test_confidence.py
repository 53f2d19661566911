"""Confidence: the KS distance is SciPy's, and its excess is 0 for honest rows."""

import numpy as np
import pytest
from scipy.stats import ks_2samp
from tests.support.digit_streams import honest, uniform_noise

from clonecost.detectors.base import looks
from clonecost.detectors.confidence import Confidence, ks_at_looks, scores


@pytest.mark.parametrize("decimals", [1, 8])
def test_the_distance_is_that_of_scipy_at_every_look(decimals: int) -> None:
    rng = np.random.default_rng(0)
    score = rng.beta(2, 1, 150).round(decimals)  # with ties, and without
    reference = np.sort(rng.random(90).round(decimals))
    want = [ks_2samp(score[:n], reference).statistic for n in looks(150)]
    np.testing.assert_allclose(ks_at_looks(score, reference), want, atol=1e-6)


def test_the_limit_of_chance() -> None:
    """n = m = 100: D = .2302 is the 1 % limit, so that an excess of 0 is D = .2302."""
    chance = np.sqrt(-np.log(0.01 / 2) / 2)
    assert abs(chance - 1.628) < 1e-3
    assert abs(chance * np.sqrt(200 / 10_000) - 0.2302) < 1e-4


def test_honest_rows_have_no_excess_and_noise_has_one() -> None:
    rows = honest()
    watch = Confidence().learn(rows.take(slice(300)), [])
    assert watch(rows.take(slice(300, 900))).max() < 0.02
    assert watch(uniform_noise(300)).min() > 0.2


def test_entropy_counts_only_where_all_probabilities_are_known() -> None:
    rows = honest(60)
    assert len(scores(rows)) == 2
    top_only = type(rows)(digests=rows.digests, top=rows.top, classes=10,
                          confidence=rows.confidence)  # fmt: skip
    assert len(scores(top_only)) == 1
    assert len(Confidence().learn(rows, [])(top_only)) == len(looks(60))
