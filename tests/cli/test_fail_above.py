"""The gate of a release pipeline: above a limit, below it, or nothing known."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.synthetic_runs import at_corrected, result

from clonecost.cli.fail_above import judged, limits_of, must_be_known
from clonecost.errors import SpecError
from clonecost.result.gate import Limit

GOOD = result([(100, at_corrected(0.8, 0.7, 0.9))], attack="good")
FAILED = result([(100, at_corrected(0.02, -0.01, 0.05))], attack="failed", seed=3)


def test_a_clone_above_a_limit_fails_the_gate() -> None:
    assert judged([Limit("corrected_agreement", 0.75)], [GOOD]) == (
        1,
        ["corrected_agreement 0.800 is above 0.75"],
    )
    assert judged([Limit("agreement", 0.9)], [GOOD]) == (0, [])


@given(limit=st.floats(0, 1), seeds=st.integers(1, 3))
@settings(max_examples=30)
def test_failed_attacks_alone_neither_pass_nor_fail(limit: float, seeds: int) -> None:
    status, said = judged([Limit("agreement", limit)], [FAILED] * seeds)
    assert status == 3
    assert len(said) == 1
    assert "no verdict from failed (seed 3)" in said[0]


def test_a_failed_attack_beside_a_good_one_is_named_and_does_not_decide() -> None:
    status, said = judged([Limit("corrected_agreement", 0.9)], [GOOD, FAILED])
    assert (status, len(said)) == (0, 1)
    assert "failed (seed 3)" in said[0]
    assert judged([Limit("corrected_agreement", 0.75)], [GOOD, FAILED])[0] == 1


def test_without_a_limit_nothing_is_judged() -> None:
    assert judged([], [FAILED]) == (0, [])


def test_a_limit_that_needs_labels_is_refused_without_them() -> None:
    limits = limits_of(["accuracy=0.9"])
    must_be_known(limits, labelled=True)
    with pytest.raises(SpecError, match="the test set has no labels, so accuracy is not known"):
        must_be_known(limits, labelled=False)
    known = [result(attack="a"), result(attack="b")]
    assert judged(limits, known)[0] in (0, 1)
    for made in ([(100, 0.8)], [(100, at_corrected(0.02, -0.01, 0.05))]):  # learnt, and failed
        scored = result(made)
        bare = scored.curve[-1].model_copy(update={"accuracy": None, "relative_accuracy": None})
        unlabelled = scored.model_copy(update={"curve": [bare]})
        with pytest.raises(SpecError, match="the test set has no labels, so accuracy is not known"):
            judged(limits, [unlabelled])
    must_be_known(limits_of(["corrected_agreement=0.9", "balanced_agreement=0.9"]), labelled=False)


CURVE = [(1000, 0.3), (10_000, 0.6), (20_000, 0.95)]


@pytest.mark.parametrize(
    ("queries", "value", "at"),
    [(50, 0.3, 1000), (1000, 0.3, 1000), (1001, 0.6, 10_000), (10_000, 0.6, 10_000),
     (15_000, 0.95, 20_000), (10**6, 0.95, 20_000)],
)  # fmt: skip
def test_a_limit_at_n_takes_the_first_milestone_at_or_above_n(
    queries: int, value: float, at: int
) -> None:
    for limit, status in ((value, 0), (value - 0.01, 1)):
        (asked,) = limits_of([f"worst.agreement@{queries}={limit}"])
        found, said = judged([asked], [result(CURVE)])
        assert found == status
        assert [f"(the clone at {at:,} queries)" in line for line in said] == [
            at != queries
        ] * found


def test_the_largest_over_the_runs_decides_and_is_named() -> None:
    runs = [result(CURVE), result([(10_000, 0.8)], attack="dear", seed=4)]
    status, said = judged(limits_of(["worst.agreement@10000=0.75"]), runs)
    assert (status, said) == (
        1, ["worst.agreement@10000 0.800 is above 0.75: dear (seed 4)"]
    )  # fmt: skip
    assert judged(limits_of(["agreement@10_000=0.8"]), runs)[0] == 0


@pytest.mark.parametrize("wrong", ["agreement@0=0.5", "agreement@=0.5", "agreement@many=0.5",
                                   "agreement@-5=0.5", "agreement@5@6=0.5"])  # fmt: skip
def test_a_number_of_queries_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(SpecError, match="a number of queries N above 0"):
        limits_of([wrong])


@pytest.mark.parametrize(
    "changes",
    [
        {"threat": {"access": "white-box"}},
        {"counter": {"name": "recovery_table", "settings": {}, "repeats": 1, "bound": True}},
    ],
)
def test_what_no_attacker_can_make_does_not_decide(changes: dict[str, Any]) -> None:
    bound = result([(100, 0.99)], attack="bound", **changes)
    status, said = judged([Limit("agreement", 0.9)], [GOOD, bound])
    assert (status, len(said)) == (0, 1)
    assert "no verdict from bound (seed 0): no attacker behind the API" in said[0]
    assert judged([Limit("agreement", 0.9)], [bound])[0] == 3


def test_a_milestone_whose_clone_learnt_nothing_decides_nothing() -> None:
    late = result([(100, at_corrected(0.02, -0.01, 0.05)), (1000, 0.8)])
    assert judged(limits_of(["agreement@100=0.05"]), [late]) == (0, [])
    assert judged(limits_of(["agreement@1000=0.05"]), [late])[0] == 1
