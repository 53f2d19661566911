import pytest
from tests.support.synthetic_runs import run

from clonecost.report import group_runs, headline, verdict
from clonecost.result import Rate


def rate(value: float, low: float, high: float) -> Rate:
    return Rate(value=value, low=low, high=high)


def test_the_headline_gives_value_interval_and_baseline() -> None:
    assert headline(run(curve=[(20_000, rate(0.912, 0.897, 0.918))])) == (
        "A clone that cost 20,000 queries (about $20) agrees with your model on 91 % of unseen "
        "inputs (95 % CI 89.7 to 92 %; majority-class baseline: 10 %)."
    )


def test_the_headline_of_several_seeds_says_so() -> None:
    (group,) = group_runs([run(curve=[(10, v)], seed=i) for i, v in enumerate((0.5, 0.6, 0.7))])
    assert "60 % of unseen inputs (mean of 3 seeds; 95 % CI 35 to 85 %;" in headline(group)


def test_the_headline_without_a_price_names_none() -> None:
    sentence = headline(run(usd_per_1000=None))
    assert sentence.startswith("A clone that cost 20,000 queries agrees")
    assert "$" not in sentence


def test_the_headline_names_lost_queries_beside_their_price() -> None:
    assert "cost 20,000 answered and 5,000 lost queries (about $25)" in headline(run(lost=5000))


def test_huge_and_tiny_numbers_stay_readable() -> None:
    huge = run(curve=[(20_000_000_000, 0.5)], usd_per_1000=2.5)
    assert "cost 20,000,000,000 queries (about $50,000,000)" in headline(huge)
    assert "cost 1 query (less than $0.01) agrees" in headline(run(curve=[(1, 0.5)]))


def test_a_white_box_reference_is_called_one() -> None:
    reference = run(threat={"access": "white-box"})
    assert "white-box reference" in headline(reference)
    (group,) = group_runs([reference])
    assert verdict(group).band == "reference"


@pytest.mark.parametrize(
    ("low", "value", "high", "band"),
    [
        (0.91, 0.95, 0.97, "vulnerable"),
        (0.85, 0.88, 0.9001, "vulnerable"),  # the upper bound decides, not the value
        (0.85, 0.88, 0.90, "warning"),  # "above 90 %" excludes 90 %
        (0.60, 0.70, 0.75, "warning"),
        (0.60, 0.70, 0.7499, "below"),
    ],
)
def test_the_upper_bound_decides_the_band(low: float, value: float, high: float, band: str) -> None:
    (group,) = group_runs([run(curve=[(20_000, rate(value, low, high))])])
    assert verdict(group).band == band


def test_low_agreement_is_not_reached_and_never_called_safe() -> None:
    (group,) = group_runs([run(curve=[(20_000, 0.2)])])
    found = verdict(group)
    assert found.title == "75 % not reached within 20,000 queries"
    assert "safe" not in found.title + found.reason
