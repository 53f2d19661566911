import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import pytest
from tests.support.html_pages import words
from tests.support.synthetic_documents import panel
from tests.support.synthetic_runs import (
    film_tensors,
    over_time,
    result,
    run,
    sample_tensors,
    search,
    wilson,
)  # fmt: skip

from clonecost.report import Report, Run, Samples, SearchImages, build_report, html, markdown, model
from clonecost.report.build import SECTIONS, on_groups
from clonecost.report.documents import Documents
from clonecost.report.model import Block, Details, Section
from clonecost.result import Transfer

FLAG = {"code": "overlap", "severity": "warning", "message": "3 test inputs overlap"}


def everything() -> list[Run]:
    """Runs that fill every section and every kind of block."""
    purposes = {"purposes": {"training": 14_000, "gradients": 6_000}, "over_time": over_time()}
    strength = {"method": "fgsm", "epsilon": 0.03, "fooled": wilson(0.4),
                "fooled_clone": wilson(0.9)}  # fmt: skip
    transfer = Transfer.model_validate({
        "schema": "clonecost/transfer/2", "rows": 100, "right": 90, "labelled": True,
        "queries": 280, "lost": 2, "seed": 0, "found": [strength], "seconds": 1.0,
        "ledger": "transfer.sqlite", "ledger_head": "0f", "clone": "ab",
    })  # fmt: skip
    searched = result(attack="ripper", search=search(), flags=[FLAG], traffic=purposes)
    return [
        Run(
            Path("full"), searched, Samples(**sample_tensors(40)),
            SearchImages(**film_tensors(3)), transfer,
        ),
        run("plain"),
    ]  # fmt: skip


def blocks_in(report: Report) -> list[Block]:
    def inside(blocks: Iterable[Block]) -> Iterable[Block]:
        for block in blocks:
            yield block
            if isinstance(block, Details):
                yield from inside(block.blocks)

    return list(inside([*report.introduction, *(b for s in report.sections for b in s.blocks)]))


def test_every_section_can_be_filled_and_stands_in_the_listed_order() -> None:
    beside = Documents(panel=panel())
    report = build_report(everything(), beside)
    assert len(report.sections) == len(SECTIONS)
    titles = [section.title for section in report.sections]
    assert len(set(titles)) == len(titles)
    text = markdown(everything(), beside)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == titles
    page = html(everything(), beside)
    assert re.findall(r'<h2 id="([^"]+)"', page) == [s.anchor for s in report.sections]


def test_sections_that_nothing_was_recorded_for_are_left_out() -> None:
    titles = {section.title for section in build_report([run()]).sections}
    everywhere = {section.title for section in build_report(everything()).sections}
    assert everywhere - titles == {
        "Use of the queries",
        "Adversarial examples made with the clone",
        "Search for training images",
    }


def test_every_kind_of_block_occurs_so_that_both_renderers_are_tested() -> None:
    found = {type(block) for block in blocks_in(build_report(everything()))}
    assert found == set(get_args(Block))


@pytest.mark.parametrize("form", [html, markdown])
def test_links_lead_to_sections(form: object) -> None:
    text = form(everything())  # type: ignore[operator]
    anchors = {section.anchor for section in build_report(everything()).sections}
    targets = set(re.findall(r'(?:href="|\]\()#([\w-]+)', text)) & {
        "flags",
        "how-to-read-this-page",
    }
    assert targets == {"flags", "how-to-read-this-page"}
    assert targets <= anchors


@pytest.mark.parametrize(
    "word", ["safe", "purse", "scout", "flight", "commonest", "taught", "dearest", "waste"]
)
def test_the_wording_follows_the_glossary(word: str) -> None:
    for text in (words(html(everything())), markdown(everything())):
        assert word not in text.lower().replace("what it costs to clone", "")


def test_the_section_of_the_contributing_page_works(monkeypatch: pytest.MonkeyPatch) -> None:
    page = Path(__file__).parents[2] / "docs" / "contributing" / "report_section.md"
    code = page.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
    names: dict[str, Any] = {}
    exec(code, names)  # our own page
    monkeypatch.setattr(
        "clonecost.report.build.SECTIONS", (*SECTIONS, on_groups(names["durations"]))
    )
    assert '<td><span class="value">5 min</span></td>' in html([run("my-run")])
    assert "| my-run | 5 min |" in markdown([run("my-run")])


def test_a_new_section_needs_no_change_of_a_renderer(monkeypatch: pytest.MonkeyPatch) -> None:
    def news(groups: object) -> Section:
        del groups
        grid = model.Grid("News", ("Name",), (model.GridRow((model.Words("<new>"),)),))
        return Section("A new section", (model.text("Said ", model.Code("so"), "."), grid))

    monkeypatch.setattr("clonecost.report.build.SECTIONS", (*SECTIONS, on_groups(news)))
    assert "<code>so</code>" in html([run()])
    assert "&lt;new&gt;" in html([run()])
    assert "Said `so`." in markdown([run()])
    assert r"| \<new\> |" in markdown([run()])
