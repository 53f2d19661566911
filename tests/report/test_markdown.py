import re

from tests.support.synthetic_runs import run

from clonecost.report import headline, markdown
from clonecost.report.markdown import markdown_text
from clonecost.report.model import (
    Code,
    Details,
    Grid,
    GridRow,
    Missing,
    Report,
    Section,
    Words,
    text,
)


def test_markdown_tells_the_same_facts() -> None:
    one = run("my-run", lost=12)
    said = markdown([one])
    assert headline(one) in said
    prices = "≤ 10,000 (≤ $10) | ≤ 20,000 (≤ $20) | 20,000 (and 12 lost, $20) | $1 |"
    assert f"| knockoff (1 seed) | {prices}" in said
    assert "| knockoff | 10,000 | 80.0 % (77.4 to 82.4 %) |" in said
    assert "<summary>my-run</summary>" in said
    assert "- Attack and seed: knockoff, seed 0" in said


def test_markdown_tables_survive_hostile_names() -> None:
    hostile = "a|b\n# <script>alert(1)</script> `x` *y*"
    flag = {"code": hostile, "severity": "warning", "message": hostile}
    said = markdown([run(hostile, attack=hostile, flags=[flag], victim={"name": hostile})])
    outside_code = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", said.replace(r"\`", ""))
    assert "<script>" not in outside_code.replace(r"\<script", "")
    for grid in re.findall(r"(?:^\| .*\n)+", said, re.MULTILINE):
        lines = grid.splitlines()
        assert len({line.count("|") - line.count(r"\|") for line in lines}) == 1
    assert sum(line.startswith("# ") for line in said.splitlines()) == 1


def test_markdown_is_deterministic() -> None:
    runs = [run(seed=seed) for seed in range(3)]
    assert markdown(runs) == markdown(runs)


def report_of(*blocks: object) -> Report:
    section = Section("One", blocks)  # type: ignore[arg-type]
    return Report("Title", "kicker", (), (section,), "footer")


def test_a_reason_that_spans_columns_keeps_the_grid_rectangular() -> None:
    cells = (Words("a"), Missing("not run: no time", span=2), Words("end"))
    grid = Grid("Grid", ("A", "B", "C", "D"), (GridRow(cells),))
    assert "| a | not run: no time |  | end |" in markdown_text(report_of(grid))


def test_code_may_hold_backticks() -> None:
    assert "`` a`b ``" in markdown_text(report_of(text(Code("a`b"))))


def test_details_of_the_page_only_are_left_out() -> None:
    shown, hidden = Details("Yes", (text("in"),)), Details("No", (text("out"),), in_markdown=False)
    said = markdown_text(report_of(shown, hidden))
    assert "<details><summary>Yes</summary>\n\nin\n\n</details>" in said
    assert "No" not in said
    assert "out" not in said
