"""Two runs side by side: the difference on the same rows, and what cannot be compared."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.html_pages import parsed, words
from tests.support.synthetic_documents import TEST_ROWS, row_scores
from tests.support.synthetic_runs import result, wilson

from clonecost.errors import RunError
from clonecost.evaluation.paired import paired_difference
from clonecost.report import Run, html_page, markdown_text
from clonecost.report.comparison import compare, comparison_json
from clonecost.report.comparison_page import comparison_report
from clonecost.report.load_runs import RowScores


def made(name: str, agreement: float = 0.9, rows: RowScores | None = None, **changes: Any) -> Run:
    found = result([(1000, wilson(agreement, TEST_ROWS))], **changes)
    scores = rows or row_scores(agreement, accuracy=round(agreement * 0.95, 6))
    return Run(Path(name), found, rows=scores)


DEFENDED: dict[str, Any] = {"defences": [{"name": "rounding", "settings": {"decimals": 1}}]}


def test_the_difference_has_the_interval_of_the_paired_rows() -> None:
    before, after = made("before", 0.9), made("after", 0.7, **DEFENDED)
    (pair,) = compare([before], [after]).pairs
    agreement, corrected, accuracy = pair.shifts
    assert before.rows is not None
    assert after.rows is not None
    expected = paired_difference(before.rows.agrees, after.rows.agrees)
    assert agreement.difference == pytest.approx(expected.value) == pytest.approx(-0.2)
    assert agreement.interval == (expected.low, expected.high)
    assert agreement.clear
    assert corrected.difference == pytest.approx(-0.2 / 0.9)
    assert corrected.interval == pytest.approx((expected.low / 0.9, expected.high / 0.9))
    assert accuracy.title == "Accuracy"
    assert accuracy.interval is not None


def test_what_was_set_up_otherwise_is_listed_and_nothing_else() -> None:
    found = compare([made("before")], [made("after", threat={"answers": "label"}, **DEFENDED)])
    assert found.facts == (
        ("Defences", "none", "rounding (decimals=1)"),
        ("Answers", "all probabilities", "hard label"),
    )
    assert compare([made("a")], [made("b")]).facts == ()


def test_the_page_says_what_changed_in_every_format() -> None:
    found = compare([made("before", 0.9)], [made("after", 0.7, **DEFENDED)])
    page, text = html_page(comparison_report(found)), markdown_text(comparison_report(found))
    parsed(page)
    for shown in (words(page), text):
        assert "agreement went from 90.0 % to 70.0 %: −20.0 points" in shown
        assert "rounding (decimals=1)" in shown
    document = json.loads(comparison_json(found))
    difference = document["pairs"][0]["differences"]["agreement"]
    assert difference["value"] == pytest.approx(-0.2)
    assert difference["low"] < -0.2 < difference["high"]
    assert document["schema"] == "clonecost/comparison/1"


def test_equal_runs_show_no_clear_difference() -> None:
    text = markdown_text(comparison_report(compare([made("a")], [made("b")])))
    assert "90.0 % to 90.0 %: 0.0 points (95 % CI 0.0 to 0.0 points)" in text
    assert "no clear difference" in text
    assert "Nothing in the setup of the runs differs." in text


def test_folders_are_matched_by_attack_and_seed() -> None:
    before = [made("k0", 0.9), made("k1", 0.88, seed=1), made("alone", attack="dfme")]
    after = [made("K1", 0.70, seed=1), made("K0", 0.75), made("other", attack="maze")]
    found = compare(before, after)
    assert [(p.before.name, p.after.name) for p in found.pairs] == [("k0", "K0"), ("k1", "K1")]
    assert found.left_out == (
        "alone (before only: dfme, seed 0)",
        "other (after only: maze, seed 0)",
    )
    (mean,) = [mean for mean in found.means if mean.title == "Agreement"]
    assert mean.seeds == 2
    assert mean.difference.value == pytest.approx(-0.165)
    assert mean.difference.low < -0.18 < mean.difference.value  # Student's, of two seeds
    assert json.loads(comparison_json(found))["means"][0]["metric"] == "agreement"
    assert "Means over the seeds" in html_page(comparison_report(found))


def test_grids_are_matched_by_defence_answers_and_countermeasure() -> None:
    counter = {"name": "averaging", "settings": {}, "repeats": 4}
    cells: dict[str, dict[str, Any]] = {
        "none": {},
        "label": {"threat": {"answers": "label"}},
        "rounding": DEFENDED,
        "averaged": {**DEFENDED, "counter": counter},
    }
    before = [made(name, **changes) for name, changes in cells.items()]
    after = [made(name, 0.8, **changes) for name, changes in reversed(cells.items())]
    found = compare(before, after)
    assert [(pair.before.name, pair.after.name) for pair in found.pairs] == [
        (name, name) for name in cells
    ]
    assert found.pairs[3].label == (
        "knockoff with averaging against rounding (decimals=1), all probabilities, seed 0"
    )
    assert found.means == ()


def test_a_run_of_an_older_version_has_differences_without_an_interval() -> None:
    found = compare([replace(made("old"), rows=None)], [made("new", 0.7)])
    assert [shift.interval for shift in found.pairs[0].shifts] == [None, None, None]
    text = markdown_text(comparison_report(found))
    assert "old keeps no scores of single rows" in text
    assert "no interval" in text
    assert json.loads(comparison_json(found))["pairs"][0]["differences"]["agreement"]["low"] is None


def test_without_labels_there_is_no_accuracy() -> None:
    runs = []
    for name in ("a", "b"):
        run = made(name, rows=row_scores(0.9, accuracy=None))
        last = run.result.curve[-1].model_copy(update={"accuracy": None})
        runs.append(replace(run, result=run.result.model_copy(update={"curve": [last]})))
    (pair,) = compare(runs[:1], runs[1:]).pairs
    assert [shift.metric for shift in pair.shifts] == ["agreement", "corrected_agreement"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"victim": {"name": "other"}}, "different victims: got shop-classifier in one and other"),
        ({"victim": {"weights": "cd" * 32}}, "different victims: .*whose weights differ"),
        ({"victim": {"test_rows": 900}}, "different test sets: .* 900 rows in two"),
        ({"victim": {"test_set": "mine.npz"}}, "different test sets: .*mine.npz"),
        ({"rows": row_scores(0.9, test="cd" * 16)}, "different test sets: .*whose rows differ"),
        (
            {"rows": row_scores(0.9, victim=np.zeros(TEST_ROWS, np.int32))},
            "has changed, or answers",
        ),
    ],
)
def test_runs_that_share_no_victim_or_test_set_are_refused(
    changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(RunError, match=sentence):
        compare([made("one")], [made("two", **changes)])


def test_a_victim_that_rounds_otherwise_is_noted_and_not_refused() -> None:
    victim = row_scores(0.9).victim.copy()
    victim[0] += 1
    found = compare([made("one")], [made("two", rows=row_scores(0.9, victim=victim))])
    assert found.notes == (
        "The victim answered 0.50 % of the test rows with another class in two than in one; "
        "agreement is with the answers of each run.",
    )


def test_two_folders_without_a_common_attack_are_refused() -> None:
    before = [made("a"), made("b", seed=1)]
    with pytest.raises(RunError, match=r"No attack with the same seed is on both sides.*maze"):
        compare(before, [made("c", attack="maze"), made("d", attack="maze", seed=1)])
    with pytest.raises(RunError, match=r"a and again are both runs of knockoff, .* with seed 0"):
        compare([made("a"), made("again")], before)
