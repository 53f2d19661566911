import re
from typing import Any
from xml.etree import ElementTree

import pytest
from tests.support.synthetic_runs import CLASSES, over_time, run

from clonecost.report import Group, Run, group_runs, html, markdown
from clonecost.report.answer_drift import AnswerDrift, answer_drift, answer_drift_words


def group_of(*runs: Run) -> Group:
    (group,) = group_runs(runs)
    return group


def drift_of(*runs: Run) -> AnswerDrift:
    found = answer_drift(group_of(*runs))
    assert found is not None
    return found


def moving(**changes: Any) -> Run:
    return run(traffic={"over_time": over_time()}, **changes)


def test_classes_and_entropy_by_span() -> None:
    found = drift_of(moving())
    assert [(s.first, s.end) for s in found.spans] == [
        (0, 5_000), (5_000, 10_000), (10_000, 15_000), (15_000, 20_000),
    ]  # fmt: skip
    assert [s.entropy for s in found.spans] == [0.25, 0.5, 0.75, 1.0]
    assert found.spans[0].shares == (1, 0, 0, 0, 0)
    assert found.names == tuple(CLASSES)
    assert found.largest_share == 1


def test_seeds_are_weighted_by_rows() -> None:
    few = [span | {"rows": 1, "class_histogram": [0, 1, 0, 0, 0], "mean_entropy": 1.0}
           for span in over_time()]  # fmt: skip
    many = [span | {"rows": 3, "class_histogram": [3, 0, 0, 0, 0], "mean_entropy": 0.0}
            for span in over_time()]  # fmt: skip
    found = drift_of(run(traffic={"over_time": few}), run(seed=1, traffic={"over_time": many}))
    assert found.spans[0].shares[:2] == (0.75, 0.25)
    assert found.spans[0].entropy == 0.25


def test_two_sentences_compare_the_first_quarter_with_the_last() -> None:
    assert answer_drift_words(drift_of(moving())) == (
        "The mean entropy of an answer was 0.25 nats in the first quarter of the run and 1.00 nats "
        "in the last (maximum: 1.61). The most frequent answer was T-shirt (100 %) in the first "
        "quarter and Coat (100 %) in the last."
    )


@pytest.mark.parametrize("spans", [[], over_time()[:1]])
def test_nothing_to_compare_no_drift(spans: list[object]) -> None:
    old = run(traffic={"over_time": spans})
    assert answer_drift(group_of(old)) is None
    assert "Change of the answers" not in html([old]) + markdown([old])


def test_a_drawing_takes_its_colours_from_the_page() -> None:
    svg = str(drift_of(moving()).svg(name="answers-0", title="<dfme>", text="Text"))
    root = ElementTree.fromstring(svg)
    assert root.get("aria-labelledby") == "answers-0-title answers-0-text"
    assert set(re.findall(r"#[0-9a-f]{6}\b", svg)) <= {"#000000"}
    assert "var(--s0)" in svg
    assert "var(--s1)" in svg


def test_a_hundred_classes_are_gathered_and_odd_names_drawn() -> None:
    names = ["$\\frac{", "<b>&", "\n\0", "狐", *(f"a class of a long name {k}" for k in range(96))]
    spans = [
        {"first": 10 * at, "rows": 100, "class_histogram": [1] * 100, "mean_entropy": 4.6}
        for at in range(2)
    ]
    many = run(victim={"classes": names}, traffic={"over_time": spans})
    svg = str(drift_of(many).svg(name="answers-0", title="dfme", text="Text"))
    ElementTree.fromstring(svg)
    assert "80 others" in svg
    assert "a class of a …" in svg


def test_the_page_and_markdown_tell_it() -> None:
    runs = [moving(), run(attack="old"), moving(attack="other")]
    page = html(runs)
    assert page.count("Change of the answers during the run") == 2
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert "5,001 to 10,000" in page
    assert "most frequent answer was T-shirt" in markdown(runs)
