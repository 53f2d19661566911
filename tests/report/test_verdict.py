import pytest
from tests.support.synthetic_runs import at_corrected, run

from clonecost.report import Run, group_runs, headline, verdict
from clonecost.result import Rate


def rate(value: float, low: float, high: float) -> Rate:
    return Rate(value=value, low=low, high=high)


def test_the_headline_gives_value_interval_and_baseline() -> None:
    assert headline(run(curve=[(20_000, rate(0.912, 0.897, 0.918))])) == (
        "A clone that cost 20,000 queries (about $20) agrees with your model on 91 % of unseen "
        "inputs (95 % CI 89.7 to 92 %; majority-class baseline: 10 %; chance-corrected: 90.2 %)."
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
    (group,) = group_runs([run(curve=[(20_000, at_corrected(value, low, high))])])
    assert verdict(group).band == band


def test_a_failed_attack_has_no_band_and_no_good_news() -> None:
    (group,) = group_runs([run(curve=[(1, at_corrected(0.01, -0.02, 0.04))])])
    found = verdict(group)
    assert (found.band, found.title) == ("failed", "No verdict: the attack failed")
    assert "is 1.0 % (95 % CI -2.0 to 4.0 %)" in found.reason
    assert "little about the victim" in found.reason
    assert headline(group).startswith("No verdict: the attack failed. A clone that cost 1 query")
    assert "agrees with your model on 10.9 %" in headline(group)


def test_seeds_that_failed_apart_are_not_called_below_zero_together() -> None:
    """Three seeds agree closely a little above chance, and none of them is above it by itself."""
    seeds = [run(curve=[(1, at_corrected(v, v - 0.2, v + 0.2))], seed=k)
             for k, v in enumerate((0.12, 0.11, 0.12))]  # fmt: skip
    (group,) = group_runs(seeds)
    assert group.final.corrected.low > 0
    reason = verdict(group).reason
    assert "not above 0 %" not in reason
    assert "no seed's clone is better than chance by its own interval" in reason


def test_balanced_agreement_shows_what_a_failed_attack_learnt() -> None:
    one = run(curve=[(100, at_corrected(-0.03, -0.09, 0.01))])
    document = one.result.model_dump(mode="json", by_alias=True)
    document["curve"][0]["balanced_agreement"] = {"value": 0.98, "low": 0.9, "high": 0.99}
    (group,) = group_runs([Run(one.path, type(one.result).model_validate(document))])
    assert "balanced agreement (98.0 %; by chance 20.0 %)" in verdict(group).reason


def test_seeds_that_failed_are_counted_beside_those_that_did_not() -> None:
    failed, good = at_corrected(0.0, -0.02, 0.02), at_corrected(0.3, 0.28, 0.32)
    runs = [run(curve=[(100, rate)], seed=seed) for seed, rate in enumerate((failed, good, good))]
    (group,) = group_runs(runs)
    assert verdict(group).reason.endswith("; 1 of 3 seeds failed.")
    assert "mean of 3 seeds, 1 of which failed, so that the CI is wide; 95 % CI" in headline(group)
    (none,) = group_runs([run(curve=[(100, failed)], seed=seed) for seed in range(3)])
    assert verdict(none).band == "failed"
    assert "(mean of 3 seeds; 95 % CI" in headline(none)
    (two,) = group_runs([run(curve=[(9, at_corrected(v, v - 0.02, v + 0.02))], seed=i)
                         for i, v in enumerate((0.6, 0.9))])  # fmt: skip
    assert two.final.corrected.low < 0  # Student's interval of two seeds
    assert verdict(two).band == "vulnerable"


def test_low_agreement_is_not_reached_and_never_called_safe() -> None:
    (group,) = group_runs([run(curve=[(20_000, 0.2)])])
    found = verdict(group)
    assert found.title == "75 % not reached within 20,000 queries"
    assert "safe" not in found.title + found.reason
