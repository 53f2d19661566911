"""Any text in any field: it is shown as it is, and changes nothing but itself."""

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from markdown_it import MarkdownIt
from markdown_it.token import Token
from pydantic import ValidationError
from tests.support.hostile_text import controls, names
from tests.support.synthetic_runs import made_control, result

from clonecost.report import Run, html, markdown
from clonecost.report.html import html_page
from clonecost.report.markdown import markdown_text
from clonecost.report.model import (
    Badge,
    Bullets,
    Card,
    Code,
    Details,
    Facts,
    Grid,
    GridRow,
    Heading,
    Image,
    ImageGrid,
    ImageStrip,
    ImageStrips,
    Link,
    Missing,
    Report,
    Section,
    Small,
    StripCell,
    Strong,
    Words,
    text,
)
from clonecost.result import Result

PLAIN = "name"


class Tree(HTMLParser):
    """The elements of a page in order, with the names of their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[object] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, [name for name, _ in attrs]))

    def handle_endtag(self, tag: str) -> None:
        self.found.append(tag)

    def handle_comment(self, data: str) -> None:
        self.found.append(("comment", data))


def blocks_of(document: str) -> list[tuple[str, str]]:
    """What Markdown makes of a document: the kinds of its blocks and of the parts of each line."""
    return list(_kinds(MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(document)))


def _kinds(tokens: list[Token]) -> Iterator[tuple[str, str]]:
    for token in tokens:
        if token.type != "text":
            yield token.type, token.tag
        yield from _kinds(token.children or [])


def report_of(name: str) -> Report:
    """Every kind of block and of text within a line, with the name at each place."""
    line = (
        name, " ", Strong(name), " ", Code(name), " ", Small(name), " ",
        Badge(name, "info"), " ", Link(name, "Section"), " ", name,
    )  # fmt: skip
    grid = Grid(name, (name, name), (
        GridRow((Words(name, note=name), Words(name))), GridRow((Missing(name, span=2),)),
    ))  # fmt: skip
    strip = ImageStrip("data:,", name, name, (StripCell(0.5, name, name),), pixelated=False)
    blocks = (
        text(*line), text(Strong(name)), text(Code(name)), Heading(name),
        Bullets((line, (name,), (Code(name), name))), Facts(((name, line), (name, (name,)))),
        Card(name, Badge(name, "below"), name, name), grid, ImageStrips((strip,)),
        ImageGrid((Image("data:,", name, name, name, name, pixelated=True),), name),
        Details(name, (text(name), grid)), text(name),
    )  # fmt: skip
    return Report(name, name, blocks, (Section(name, blocks),), name)


@given(names)
@example("1. a")
@example("\x1b[2J")
def test_no_block_obeys_a_name(name: str) -> None:
    page, document = html_page(report_of(name)), markdown_text(report_of(name))
    plain = report_of(PLAIN)
    assert not controls(page)
    assert Tree(page).found == Tree(html_page(plain)).found
    assert not controls(document)
    assert blocks_of(document) == blocks_of(markdown_text(plain))


def test_a_name_is_shown_as_it_is() -> None:
    name = (
        r"[x](javascript:1) <img src=x onerror=1> a|b `c` *d* _e_ \n &lt; ~~f~~ https://x.example"
    )
    (shown,) = MarkdownIt().parse(markdown_text(Report(name, "", (), (), "")))[1].children or []
    assert shown.content == name


def filled(name: str) -> Result:
    """A result in which every text that may be any text is this name."""
    control = made_control("true_labels", 0.88)
    made = result(
        controls=[control],
        defences=[{"name": PLAIN, "settings": {"a": "b"}}],
        flags=[{"code": PLAIN, "severity": "warning", "message": PLAIN}],
    )
    document = made.model_dump(mode="json", by_alias=True)
    for parent, key in list(_texts(document)):
        before, parent[key] = parent[key], name
        try:
            Result.model_validate(document)
        except ValidationError:
            parent[key] = before  # one of a few words
    return Result.model_validate(document)


def _texts(part: Any) -> Iterator[tuple[Any, Any]]:
    for key, value in part.items() if isinstance(part, dict) else enumerate(part):
        if isinstance(value, str):
            yield part, key
        elif isinstance(value, dict | list):
            yield from _texts(value)


@pytest.fixture(scope="module")
def plain() -> tuple[list[object], list[tuple[str, str]]]:
    runs = [Run(Path(PLAIN), filled(PLAIN))]
    return Tree(html(runs)).found, blocks_of(markdown(runs))


@settings(max_examples=8)
@given(name=names)
@example(name="\x1b[2J <img src=x onerror=alert(1)> [x](javascript:alert(1)) a|b")
def test_a_report_of_any_names_has_the_structure_of_plain_ones(
    name: str, plain: tuple[list[object], list[tuple[str, str]]]
) -> None:
    runs = [Run(Path(name.replace("/", "")), filled(name))]
    page, document = html(runs), markdown(runs)
    assert not controls(page)
    assert not controls(document)
    assert Tree(page).found == plain[0]
    assert blocks_of(document) == plain[1]
