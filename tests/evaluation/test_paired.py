"""The interval of a difference on the same rows, against resampling row by row."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clonecost.evaluation.paired import paired_difference
from clonecost.evaluation.seed_interval import t_interval


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


def test_the_interval_over_seeds_has_the_rows_that_they_share() -> None:
    """Three seeds that are better on the same tenth of the rows say nothing about other rows."""
    before = np.random.default_rng(0).random((3, 400)) < 0.7
    after = before.copy()
    after[:, :40] = True
    found = paired_difference(before, after)
    assert found.value == pytest.approx(after.mean() - before.mean())
    assert 0 < found.low < found.value < found.high < 0.08


def test_the_interval_over_seeds_is_not_narrower_than_that_of_their_spread() -> None:
    """Resampling three seeds would give a half-width of a third of it."""
    before = np.zeros((3, 2_000), dtype=bool)
    after = before.copy()
    after[0, :20] = after[1, :260] = after[2, :110] = True  # 1, 13 and 5.5 % better
    found = paired_difference(before, after)
    low, high = t_interval([0.01, 0.13, 0.055])
    assert found.low < low < 0 < found.value < high < found.high
    assert found.high - found.low < 1.1 * (high - low)
