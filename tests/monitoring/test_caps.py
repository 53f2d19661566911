"""The daily cap: from the upper end of the interval, and never between two milestones."""

from tests.support.synthetic_runs import at_corrected, result

from clonecost.monitoring.caps import caps
from clonecost.result import Rate


def rate(value: float, high: float) -> Rate:
    """Chance-corrected, as the bands are; the agreement itself is larger."""
    return at_corrected(value, value, high)


CURVE = result([
    (1_000, rate(0.5, 0.55)), (3_000, rate(0.7, 0.74)), (9_000, rate(0.74, 0.76)),
    (20_000, rate(0.8, 0.82)),
]).curve  # fmt: skip


def test_the_cap_stays_below_the_last_milestone_under_the_band() -> None:
    first, second = caps(CURVE, days=30)
    assert (first.band, first.below, first.reached) == (0.75, 3_000, 9_000)  # the upper end
    assert first.per_day == 100
    assert first.per_day * 30 <= 3_000 < 9_000
    assert first.accounts_in_a_day == 90
    assert (second.band, second.reached, second.below) == (0.9, None, 20_000)
    assert second.per_day == 666
    assert second.accounts_in_a_day is None


def test_a_band_that_the_first_score_reaches_has_no_cap() -> None:
    only = caps(CURVE[-1:], days=7)[0]
    assert (only.below, only.reached, only.per_day) == (None, 20_000, None)
