import re
from xml.etree import ElementTree

import pytest
from tests.support.synthetic_runs import run

from clonecost.report import Run, charts, group_runs
from clonecost.report.model import Charts
from clonecost.report.sections.curves import curves


def drawn(*runs: Run, index: int = 0) -> str:
    """The chart of agreement (0) or of accuracy (1) in the report on `runs`."""
    block = curves(group_runs(runs)).blocks[0]
    assert isinstance(block, Charts)
    chart = block.charts[index]
    return str(chart.drawing.svg(name=f"chart{index}", title="<Title>", text="Text & more"))


def test_a_drawing_is_one_accessible_element() -> None:
    root = ElementTree.fromstring(drawn(run()))
    assert root.tag == "svg"
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == "chart0-title chart0-text"
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
    both = drawn(run()) + drawn(run(), index=1)
    ids = re.findall(r'\bid="([^"]+)"', both)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', both)) <= set(ids)


def test_nothing_is_loaded() -> None:
    assert "http" not in drawn(run())


def test_the_same_runs_draw_the_same_bytes() -> None:
    assert drawn(run(), run(seed=1)) == drawn(run(), run(seed=1))


@pytest.mark.parametrize("index", [0, 1])
def test_odd_curves_can_be_drawn(index: int) -> None:
    svg = drawn(
        run(attack="single", curve=[(1, 0.2)]),
        run(attack="huge", curve=[(1, 0.1), (20_000_000_000, 0.99)]),
        run(attack="free", curve=[(0, 0.97)], threat={"access": "white-box"}),
        index=index,
    )
    assert "10G" in svg
    assert "var(--s2)" in svg


def test_a_price_in_a_name_is_not_mathematics() -> None:
    assert "svg" in drawn(run(attack="$\\broken{"))


def test_many_series_look_different() -> None:
    looks = {str(charts.swatch(index)) for index in range(64)}
    assert len(looks) == 64
