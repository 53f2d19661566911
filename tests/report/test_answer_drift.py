import re
from typing import Any
from xml.etree import ElementTree

import pytest
from tests.support.synthetic_runs import CLASSES, over_time, run

from clonecost.report import Group, Run, group_runs, html, markdown
from clonecost.report.answer_drift import Course, course, course_words, darkest, drawing


def group_of(*runs: Run) -> Group:
    (group,) = group_runs(runs)
    return group


def course_of(*runs: Run) -> Course:
    found = course(group_of(*runs))
    assert found is not None
    return found


def moving(**changes: Any) -> Run:
    return run(traffic={"over_time": over_time()}, **changes)


def test_classes_and_entropy_by_span() -> None:
    found = course_of(moving())
    assert [(s.first, s.end) for s in found.stretches] == [
        (0, 5_000), (5_000, 10_000), (10_000, 15_000), (15_000, 20_000),
    ]  # fmt: skip
    assert [s.entropy for s in found.stretches] == [0.25, 0.5, 0.75, 1.0]
    assert found.stretches[0].shares == (1, 0, 0, 0, 0)
    assert found.names == tuple(CLASSES)
    assert darkest(found) == 1


def test_seeds_are_weighted_by_rows() -> None:
    few = [span | {"rows": 1, "class_histogram": [0, 1, 0, 0, 0], "mean_entropy": 1.0}
           for span in over_time()]  # fmt: skip
    many = [span | {"rows": 3, "class_histogram": [3, 0, 0, 0, 0], "mean_entropy": 0.0}
            for span in over_time()]  # fmt: skip
    found = course_of(run(traffic={"over_time": few}), run(seed=1, traffic={"over_time": many}))
    assert found.stretches[0].shares[:2] == (0.75, 0.25)
    assert found.stretches[0].entropy == 0.25


def test_one_sentence_tells_first_from_last() -> None:
    assert course_words(course_of(moving())) == (
        "From the first quarter of the run to the last, the mean entropy of an answer went from "
        "0.25 to 1.00 nats (1.61 is a blind guess), and the commonest answer from T-shirt (100 %) "
        "to Coat (100 %)."
    )


@pytest.mark.parametrize("spans", [[], over_time()[:1]])
def test_nothing_to_compare_no_course(spans: list[object]) -> None:
    old = run(traffic={"over_time": spans})
    assert course(group_of(old)) is None
    assert "over the run" not in html([old]) + markdown([old])


def test_a_drawing_takes_its_colours_from_the_page() -> None:
    svg = str(drawing(course_of(moving()), name="course-0", label="<dfme>"))
    root = ElementTree.fromstring(svg)
    assert root.get("aria-labelledby") == "course-0-title course-0-text"
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
    svg = str(drawing(course_of(many), name="course-0", label="dfme"))
    ElementTree.fromstring(svg)
    assert "80 others" in svg
    assert "a class of a …" in svg


def test_the_page_and_markdown_tell_it() -> None:
    runs = [moving(), run(attack="old"), moving(attack="other")]
    page = html(runs)
    assert page.count("How the answers changed over the run") == 2
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert "5,000 to 10,000" in page
    assert "commonest answer from T-shirt" in markdown(runs)
