import pytest
from tests.support.synthetic_runs import run

from clonecost.report import group_runs, headline, verdict
from clonecost.report import wording as words
from clonecost.result import Rate


def rate(value: float, low: float, high: float) -> Rate:
    return Rate(value=value, low=low, high=high)


def test_the_headline_is_the_sentence() -> None:
    assert headline(run(curve=[(20_000, rate(0.912, 0.897, 0.918))])) == (
        "At 20,000 queries, about $20, a clone agrees with your model on 91 % of inputs it has not "
        "seen (95 % interval 89.7 to 92 %; a clone that always names the commonest class would "
        "reach 10 %)."
    )


def test_the_headline_of_several_seeds_says_so() -> None:
    (group,) = group_runs([run(curve=[(10, v)], seed=i) for i, v in enumerate((0.5, 0.6, 0.7))])
    assert "60 % of inputs it has not seen (mean of 3 seeds, 95 % interval 35 to 85 %;" in headline(
        group
    )


def test_the_headline_without_a_price_names_none() -> None:
    sentence = headline(run(usd_per_1000=None))
    assert sentence.startswith("At 20,000 queries, a clone agrees")
    assert "$" not in sentence


def test_the_headline_counts_lost_rows_in_the_money() -> None:
    assert "about $25," in headline(run(lost=5000))


def test_huge_and_tiny_numbers_stay_readable() -> None:
    huge = run(curve=[(20_000_000_000, 0.5)], usd_per_1000=2.5)
    assert "At 20,000,000,000 queries, about $50,000,000," in headline(huge)
    assert "At 1 query, less than $0.01, a clone" in headline(run(curve=[(1, 0.5)]))


def test_a_white_box_reference_is_called_one() -> None:
    reference = run(threat={"access": "white-box"})
    assert "white-box reference" in headline(reference)
    (group,) = group_runs([reference])
    assert verdict(group).band == "reference"
    assert (words.reached(group, 0.75), words.reached_usd(group, 0.75)) == ("–", "–")


@pytest.mark.parametrize(
    ("low", "value", "high", "band"),
    [
        (0.91, 0.95, 0.97, "vulnerable"),
        (0.85, 0.88, 0.9001, "vulnerable"),  # the upper bound decides, not the estimate
        (0.85, 0.88, 0.90, "warning"),  # "above 90 %" excludes 90 %
        (0.60, 0.70, 0.75, "warning"),
        (0.60, 0.70, 0.7499, "below"),
    ],
)
def test_the_upper_bound_decides_the_band(low: float, value: float, high: float, band: str) -> None:
    (group,) = group_runs([run(curve=[(20_000, rate(value, low, high))])])
    assert verdict(group).band == band


def test_low_agreement_is_never_called_safe() -> None:
    (group,) = group_runs([run(curve=[(20_000, 0.2)])])
    found = verdict(group)
    assert found.title == "Below the warning band within 20,000 queries"
    assert "safe" not in found.title + found.reason


def test_levels_are_scored_milestones() -> None:
    (group,) = group_runs([run(curve=[(1000, 0.5), (5000, 0.74), (20_000, 0.8)])])
    assert words.reached(group, 0.75) == "≤ 20,000"
    assert words.reached_usd(group, 0.75) == "≤ $20"
    assert words.reached(group, 0.9) == "not within 20,000"
    assert words.reached_usd(group, 0.9) == "–"


@pytest.mark.parametrize(
    ("value", "decimals", "shown"),
    [
        (0.912, 0, "91 %"),
        (0.896, 0, "89.6 %"),  # "90 %" would be another verdict
        (0.9, 0, "90 %"),
        (0.8999, 1, "89.99 %"),
        (0.9996, 0, "99.96 %"),  # not perfect
        (1.0, 0, "100 %"),
        (0.0, 1, "0.0 %"),
        (0.0004, 0, "0.04 %"),
        (1.024, 1, "102.4 %"),  # relative accuracy may exceed 1
        (float("inf"), 1, "–"),
    ],
)
def test_rounding_never_crosses_a_line(value: float, decimals: int, shown: str) -> None:
    assert words.percent(value, decimals) == shown


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (0, "$0"),
        (0.001, "< $0.01"),
        (0.35, "$0.35"),
        (2.5, "$2.50"),
        (20.2, "$20"),
        (1234, "$1,234"),
    ],
)
def test_money(amount: float, shown: str) -> None:
    assert words.usd(amount) == shown


@pytest.mark.parametrize(("seconds", "shown"), [(45, "45 s"), (720, "12 min"), (12_600, "3.5 h")])
def test_durations(seconds: float, shown: str) -> None:
    assert words.duration(seconds) == shown


def test_the_threat_model_is_told_in_words_once_per_threat() -> None:
    label = {"answers": "label"}
    groups = group_runs([run(attack="a"), run(attack="b"), run(attack="c", threat=label)])
    told = dict(words.threats(groups))
    assert set(told) == {"a; b", "c"}
    assert "only the winning class" in told["c"]
    assert "8-bit pixels" in told["c"]
    assert "20,000 inputs of shape 1 × 28 × 28" in told["c"]
