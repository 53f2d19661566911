"""The interval of a difference on the same rows, against resampling row by row."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clonecost.evaluation.paired import paired_difference


def test_the_interval_is_that_of_resampled_rows() -> None:
    rng = np.random.default_rng(1)
    before = rng.random(300) < 0.6
    after = np.where(rng.random(300) < 0.2, rng.random(300) < 0.9, before)
    drawn = rng.integers(0, 300, (20_000, 300))
    resampled = (after.astype(int) - before)[drawn].mean(1)
    found = paired_difference(before, after)
    assert found.value == pytest.approx(after.mean() - before.mean())
    assert found.low == pytest.approx(np.quantile(resampled, 0.025), abs=0.004)
    assert found.high == pytest.approx(np.quantile(resampled, 0.975), abs=0.004)


def test_pairing_narrows_the_interval_of_clones_that_agree_on_most_rows() -> None:
    rng = np.random.default_rng(2)
    before = rng.random(1000) < 0.5
    after = before.copy()
    after[:20] = True
    paired = paired_difference(before, after)
    apart = paired_difference(before, rng.permutation(after))
    assert paired.high - paired.low < (apart.high - apart.low) / 4


@settings(max_examples=40)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_exchanging_the_runs_changes_the_sign_only(pairs: list[tuple[bool, bool]]) -> None:
    before, after = np.array(pairs).T
    one, other = paired_difference(before, after), paired_difference(after, before)
    assert one.value == -other.value
    assert -1 <= one.low <= one.value <= one.high <= 1
    assert one.low == pytest.approx(-other.high, abs=0.06)


def test_equal_runs_differ_by_nothing_and_draws_are_repeatable() -> None:
    bits = np.arange(90) % 3 == 0
    same = paired_difference(bits, bits)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    assert paired_difference(bits, ~bits) == paired_difference(bits, ~bits)


def test_other_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="not the same test rows"):
        paired_difference(np.ones(3, dtype=bool), np.ones(4, dtype=bool))
