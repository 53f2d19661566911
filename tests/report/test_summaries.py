import pytest
from tests.support.synthetic_runs import made_control, run, wilson

from clonecost.report import group_runs
from clonecost.report.summaries import answers, class_rows, controls, flags, lowest_first

WARNING = {"code": "overlap", "severity": "warning", "message": "3 rows overlap"}
INFO = {"code": "rising", "severity": "info", "message": "the curve still rises"}


def test_agreement_per_class_is_the_mean_over_seeds() -> None:
    def per_class(value: float) -> list[dict[str, object]]:
        return [
            {"name": "cat", "rows": 100, "agreement": wilson(value, 100)},
            {"name": "dog", "rows": 0, "agreement": None},
        ]

    (group,) = group_runs(
        [run(seed=0, per_class=per_class(0.6)), run(seed=1, per_class=per_class(0.8))]
    )
    cat, dog = class_rows(group)
    assert cat.agreement is not None
    assert cat.agreement.value == pytest.approx(0.7)
    assert dog.agreement is None
    assert cat.share == pytest.approx(0.6)
    assert [row.name for row in lowest_first([dog, cat])] == ["cat", "dog"]


def test_traffic_is_weighted_by_rows() -> None:
    def seen(rows: int, entropy: float) -> dict[str, object]:
        return {"rows": rows, "mean_entropy": entropy, "confident": entropy / 2}

    (group,) = group_runs(
        [run(seed=0, traffic=seen(100, 1.0)), run(seed=1, traffic=seen(300, 0.2))]
    )
    summary = answers(group)
    assert summary is not None
    assert summary.rows == 400
    assert summary.mean_entropy == pytest.approx(0.4)
    assert summary.confident == pytest.approx(0.2)


def test_traffic_of_a_run_that_asked_nothing() -> None:
    (group,) = group_runs([run(traffic={"rows": 0, "class_histogram": [0] * 5})])
    assert answers(group) is None
    assert class_rows(group)[0].share is None


def test_controls_are_gathered_by_name() -> None:
    control = [[made_control("shuffled_answers", value)] for value in (0.1, 0.2)]
    (group,) = group_runs([run(seed=seed, controls=control[seed]) for seed in (0, 1)])
    (found,) = controls(group)
    assert found.name == "Shuffled answers"
    assert found.agreement.value == pytest.approx(0.15)
    assert found.corrected.value == pytest.approx(0.05 / 0.9)
    assert found.corrected.low < 0  # worse than always the same class, in the interval


def test_a_flag_is_told_once_with_the_attacks_it_concerns() -> None:
    groups = group_runs(
        [
            run(attack="a", flags=[INFO, WARNING]),
            run(attack="a", seed=1, flags=[WARNING]),
            run(attack="b", flags=[WARNING]),
        ]
    )
    warning, info = flags(groups)
    assert (warning.flag.severity, warning.labels) == ("warning", ("a", "b"))
    assert (info.flag.code, info.labels) == ("rising", ("a",))
