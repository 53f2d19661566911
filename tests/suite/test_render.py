"""The pages of a suite."""

import re
from pathlib import Path

from tests.support.toy_suite import edited

from clonecost.suite import (
    cells,
    find,
    gather,
    html,
    markdown,
    read_results,
    read_suite,
)

RESULTS = Path(__file__).parents[2] / "suites" / "results"


def test_a_row_may_be_of_some_columns_only(toy: Path, tmp_path: Path) -> None:
    suite = read_suite(edited(toy, 'name = "ours"\n', 'name = "ours"\ncolumns = ["mine"]\n'))
    assert [c.column.name for c in cells(suite, "small") if c.row.name == "ours"] == ["mine"]
    table = gather("toy", suite, "small", tmp_path / "out")
    assert "ours" in [row.name for row in table.rows_of("mine")]
    assert "ours" not in [row.name for row in table.rows_of("broken")]
    of_broken = markdown(table).partition("## Broken")[2]
    assert "Later" in of_broken
    assert "Ours" not in of_broken
    ours = re.findall(r'<tr class="marked">.*?</tr>', html(table), re.DOTALL)
    assert [row.count("not run") for row in ours] == [1, 1]  # at a glance, and in its own column
    assert [row.count("–") for row in ours] == [1, 1]  # no cell there, no number of a paper here


def test_victims_are_compared_at_a_glance_where_they_are_few(toy: Path, tmp_path: Path) -> None:
    few = html(gather("toy", read_suite(toy), "small", tmp_path))
    many = html(gather("tramer", read_suite(find("tramer")), "cpu", tmp_path))
    assert (few.count("<table"), many.count("<table")) == (1 + 2, 10)
    assert "Accuracy at a glance" in few
    assert "Accuracy at a glance" not in many


def test_without_runs_no_number_but_the_papers(toy: Path, tmp_path: Path) -> None:
    table = gather("toy", read_suite(toy), "small", tmp_path / "out")
    for cell in table.cells:
        assert (cell.accuracy, cell.agreement, cell.queries, cell.seconds) == (None,) * 4
        assert cell.runs == []
        assert cell.not_run
    assert table.cell("later", "mine").not_run == "the attack comes later"
    for page in (markdown(table), html(table).replace("&nbsp;", " ")):
        assert "not run: the attack comes later" in page
        assert "not run: not yet" in page
        assert "77.7 %" in page
        assert "66.6 ± 1.5 %" in page
        assert "Somebody (2020), table 1" in page
    rows = [line.split(" | ") for line in markdown(table).splitlines() if "77.7" in line]
    assert [row[1:6] for row in rows] == [["not run: not yet", "", "", "", ""]]
    assert all("77.7" in row[6] for row in rows)


def test_the_page_loads_nothing_and_obeys_no_title(toy: Path, tmp_path: Path) -> None:
    page = html(gather("toy", read_suite(toy), "small", tmp_path / "out"))
    assert "Tiny &amp; quick &lt;b&gt;" in page
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_the_queries_say_in_how_many_iterations_and_the_victim_by_its_weights() -> None:
    page = markdown(read_results(RESULTS / "data_free-cpu.json"))
    assert "98,560 (in 55 iterations)" in page
    assert "SHA-256 of its weights: " in page
