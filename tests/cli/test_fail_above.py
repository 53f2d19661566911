"""The gate of a release pipeline: above a limit, below it, or nothing known."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.synthetic_runs import at_corrected, result

from clonecost.cli.fail_above import judged, limits_of, must_be_known
from clonecost.errors import SpecError

GOOD = result([(100, at_corrected(0.8, 0.7, 0.9))], attack="good")
FAILED = result([(100, at_corrected(0.02, -0.01, 0.05))], attack="failed", seed=3)


def test_a_clone_above_a_limit_fails_the_gate() -> None:
    assert judged({"corrected_agreement": 0.75}, [GOOD]) == (
        1,
        ["corrected_agreement 0.800 is above 0.75"],
    )
    assert judged({"agreement": 0.9}, [GOOD]) == (0, [])


@given(limit=st.floats(0, 1), seeds=st.integers(1, 3))
@settings(max_examples=30)
def test_failed_attacks_alone_neither_pass_nor_fail(limit: float, seeds: int) -> None:
    status, said = judged({"agreement": limit}, [FAILED] * seeds)
    assert status == 3
    assert len(said) == 1
    assert "no verdict from failed (seed 3)" in said[0]


def test_a_failed_attack_beside_a_good_one_is_named_and_does_not_decide() -> None:
    status, said = judged({"corrected_agreement": 0.9}, [GOOD, FAILED])
    assert (status, len(said)) == (0, 1)
    assert "failed (seed 3)" in said[0]
    assert judged({"corrected_agreement": 0.75}, [GOOD, FAILED])[0] == 1


def test_without_a_limit_nothing_is_judged() -> None:
    assert judged({}, [FAILED]) == (0, [])


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
