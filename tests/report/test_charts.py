import re
from xml.etree import ElementTree

import pytest
from tests.support.synthetic_runs import run

from clonecost.report import charts, group_runs
from clonecost.report.charts import Measure


def drawn(*runs: object, measure: Measure = "agreement", name: str = "one") -> str:
    groups = group_runs(runs)  # type: ignore[arg-type]
    return str(charts.curve(groups, measure, name=name, title="<Title>", text="Text & more"))


def test_a_drawing_is_one_accessible_element() -> None:
    root = ElementTree.fromstring(drawn(run()))
    assert root.tag == "svg"
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == "one-title one-text"
    assert [(child.tag, child.text) for child in root[:2]] == [
        ("title", "<Title>"),
        ("desc", "Text & more"),
    ]


def test_the_page_decides_every_colour() -> None:
    svg = drawn(run(), run(attack="other"))
    assert "currentColor" in svg
    assert "var(--s0)" in svg
    assert "var(--s1)" in svg
    assert set(re.findall(r"#[0-9a-f]{6}\b", svg)) <= {"#000000"}  # matplotlib's unused default


def test_ids_are_unique_on_the_page_and_all_references_resolve() -> None:
    both = drawn(run(), name="a") + drawn(run(), name="b")
    ids = re.findall(r'\bid="([^"]+)"', both)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', both)) <= set(ids)


def test_nothing_is_loaded() -> None:
    assert "http" not in drawn(run())


def test_the_same_runs_draw_the_same_bytes() -> None:
    assert drawn(run(), run(seed=1)) == drawn(run(), run(seed=1))


@pytest.mark.parametrize("measure", ["agreement", "accuracy"])
def test_odd_curves_can_be_drawn(measure: Measure) -> None:
    svg = drawn(
        run(attack="single", curve=[(1, 0.2)]),
        run(attack="huge", curve=[(1, 0.1), (20_000_000_000, 0.99)]),
        run(attack="free", curve=[(0, 0.97)], threat={"access": "white-box"}),
        measure=measure,
    )
    assert "10G" in svg
    assert "var(--s2)" in svg


def test_a_price_in_a_name_is_not_mathematics() -> None:
    assert "svg" in drawn(run(attack="$\\broken{"))


def test_many_groups_look_different() -> None:
    looks = {str(charts.swatch(index)) for index in range(64)}
    assert len(looks) == 64
