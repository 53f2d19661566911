"""Each flag is raised when it should be, and not when it should not."""

from typing import Any

import pytest

from clonecost.evaluation.chance import corrected
from clonecost.evaluation.red_flags import Traits, flags
from clonecost.result import Control, Rate, Score, SpotCheck, ThreatCard, Traffic


def rate(value: float, spread: float = 0.02) -> Rate:
    return Rate(value=value, low=max(0, value - spread), high=min(1, value + spread))


MAJORITY = 0.3


def point(queries: int, agreement: float) -> Score:
    found = rate(agreement)
    scale = corrected(found, MAJORITY)
    return Score(
        queries=queries, accuracy=rate(0.5), agreement=found, balanced_agreement=found,
        corrected_agreement=scale, learnt=scale.above_chance, relative_accuracy=0.6, kl=1.0,
    )  # fmt: skip


def control(name: str, agreement: float) -> Control:
    found = rate(agreement)
    return Control.model_validate(
        {"name": name, "accuracy": None, "agreement": found,
         "corrected_agreement": corrected(found, MAJORITY)}
    )  # fmt: skip


THREAT = ThreatCard(
    input_shape=[1, 8, 8], num_classes=4, query_budget=100, answers="probs", top_k=None,
    input_precision="float32", access="black-box",
)  # fmt: skip
EVEN = Traffic(rows=100, class_histogram=[25, 25, 25, 25], mean_entropy=0.5, confident=0.2)
DIFFERENCES = Traits(finite_differences=True)
SOUND: dict[str, Any] = {
    "threat": THREAT, "attack": "some", "traits": Traits(),
    "curve": [point(50, 0.6), point(100, 0.8)], "victim_accuracy": rate(0.9),
    "majority_accuracy": 0.3, "majority": MAJORITY,
    "test_rows": 5_000, "overlap": 0, "traffic": EVEN, "lost": 0, "resumed": 0,
}  # fmt: skip


def codes(**changes: Any) -> list[str]:
    return [flag.code for flag in flags(**{**SOUND, **changes})]


def threat(**changes: Any) -> ThreatCard:
    return THREAT.model_copy(update=changes)


def test_a_sound_audit_has_no_flag() -> None:
    assert codes() == []
    assert codes(traits=DIFFERENCES) == []
    assert codes(threat=threat(answers="label", input_precision="uint8")) == []


RAISED: dict[str, dict[str, Any]] = {
    "proxy-overlaps-test": {"overlap": 1},
    "no-labels": {"victim_accuracy": None, "majority_accuracy": None},
    "too-few-other-classes": {"majority": 1 - 3 / 5_000},
    "victim-at-chance": {"victim_accuracy": rate(0.31)},
    "small-test-set": {"test_rows": 999},
    "attack-fell-short": {"remark": "The victim is no tree"},
    "differences-in-8-bit": {"traits": DIFFERENCES, "threat": threat(input_precision="uint8")},
    "differences-of-coarse-answers": {"traits": DIFFERENCES, "threat": threat(answers="top_k")},
    "equations-of-coarse-answers": {
        "traits": Traits(rows_per_unknown=1.0, coarse_defence=True),
        "threat": threat(num_classes=2),
    },
    "published-wiring": {"traits": Traits(published_wiring=True)},
    "white-box-reference": {"threat": threat(access="white-box")},
    "clone-learned-nothing": {"curve": [point(100, 0.31)]},
    "clone-no-better-than-control": {"controls": [control("shuffled_answers", 0.79)]},
    "clone-got-worse": {"curve": [point(50, 0.9), point(100, 0.8)]},
    "one-sided-questions": {
        "traffic": EVEN.model_copy(update={"class_histogram": [91, 9, 0, 0]}),
    },
    "random-victim": {"traits": Traits(random_answers=0.3)},
    "batch-dependent-victim": {"traits": Traits(batch_answers=0.01)},
    "victim-changed": {"spot": SpotCheck(rows=20, asked=20, changed=1, largest=0.5)},
    "spot-check-failed": {"spot": SpotCheck(rows=20, asked=10, changed=0, largest=0)},
    "lost-rows": {"lost": 1},
    "refused-rows": {"refused": 1, "refusal": "422: no face found"},
    "resumed": {"resumed": 1},
    "resumed-under-another-version": {"releases": ("clonecost 1", "clonecost 2")},
}


@pytest.mark.parametrize("code", RAISED)
def test_each_condition_raises_its_own_flag(code: str) -> None:
    assert codes(**RAISED[code]) == [code]


@pytest.mark.parametrize(
    ("accuracy", "majority", "at_chance"),
    [
        (0.993, 0.97, False),  # a fraud model: seven in ten of what the frequent label misses
        (0.97, 0.97, True),
        (0.971, 0.97, True),  # within 5 % of the way from the baseline to 1
        (0.95, 0.97, True),
        (0.34, 0.1, False),
        (0.13, 0.1, True),  # its interval includes the baseline
    ],
)
def test_a_victim_is_compared_with_the_most_frequent_label(
    accuracy: float, majority: float, at_chance: bool
) -> None:
    found = codes(
        victim_accuracy=rate(accuracy, min(0.04, (1 - accuracy) / 2)), majority_accuracy=majority
    )
    assert found == (["victim-at-chance"] if at_chance else [])


def test_a_control_that_knows_the_labels_may_be_as_good() -> None:
    assert codes(controls=[control("true_labels", 0.95)]) == []
    assert codes(controls=[control("untrained_student", 0.3)]) == []


def test_one_class_in_the_answers_is_no_flag_where_the_victim_gives_it_as_often() -> None:
    answers = EVEN.model_copy(update={"class_histogram": [95, 5, 0, 0]})
    perfect = Score.model_validate(
        point(100, 0.98).model_dump() | {"corrected_agreement": corrected(rate(0.999), 0.95)}
    )
    sound = {"curve": [perfect], "victim_accuracy": rate(0.99), "majority_accuracy": 0.95}
    assert codes(traffic=answers, majority=0.95, **sound) == []
    assert codes(traffic=answers, majority=0.5, **sound) == ["one-sided-questions"]


def test_rounded_answers_are_coarse_too() -> None:
    both = Traits(finite_differences=True, coarse_defence=True)
    assert codes(traits=both) == ["differences-of-coarse-answers"]
    assert codes(traits=Traits(coarse_defence=True)) == []
    two = threat(num_classes=2)
    many, few = (Traits(rows_per_unknown=rows, coarse_defence=True) for rows in (5.0, 1.0))
    assert codes(traits=many, threat=two) == []
    assert codes(traits=few) == []  # more than two classes
    assert codes(traits=Traits(rows_per_unknown=1.0), threat=two) == []


def test_thresholds() -> None:
    assert codes(curve=[point(50, 0.83), point(100, 0.8)]) == []  # within the intervals
    assert codes(traffic=EVEN.model_copy(update={"class_histogram": [90, 10, 0, 0]})) == []
    assert codes(test_rows=1_000) == []


def test_warnings_come_first_and_messages_contain_numbers() -> None:
    found = flags(**{**SOUND, "resumed": 2, "lost": 1_234, "overlap": 7})
    assert [flag.severity for flag in found] == ["warning", "info", "info"]
    numbers = ("7 of 5,000", "1,234 queries", "2 time")
    assert all(part in flag.message for flag, part in zip(found, numbers, strict=True))


def test_every_flag_is_tested_here() -> None:
    import inspect
    import re

    from clonecost.evaluation import red_flags

    raised = set(re.findall(r'_(?:warning|info)\(\s*"([a-z0-9-]+)"', inspect.getsource(red_flags)))
    assert raised == set(RAISED)
