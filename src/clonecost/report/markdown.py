"""A report as GitHub-flavoured Markdown, for a pull request; images stay in the HTML page."""

import re
from collections.abc import Iterable, Sequence
from functools import singledispatch
from html import escape

from clonecost.report.model import (
    Badge,
    Block,
    Bullets,
    Card,
    Cell,
    Charts,
    Code,
    Details,
    Facts,
    Grid,
    Heading,
    ImageGrid,
    ImageStrips,
    Inline,
    Link,
    Paragraph,
    Report,
    Small,
    Strong,
    anchor,
)
from clonecost.safe_text import visible


def markdown_text(report: Report) -> str:
    """Title, introduction, sections and their blocks, in order."""
    parts = [f"# {_plain(report.title)}", *_blocks(report.introduction)]
    for section in report.sections:
        parts += [f"## {_plain(section.title)}", *_blocks(section.blocks)]
    return visible("\n\n".join(parts)) + "\n"


def _blocks(blocks: Iterable[Block]) -> list[str]:
    return [found for block in blocks if (found := _block(block))]


@singledispatch
def _block(block: object) -> str:
    raise TypeError(f"no Markdown for {type(block).__name__}")


@_block.register
def _(block: Paragraph) -> str:
    return _line(block.content)


@_block.register
def _(block: Heading) -> str:
    return f"### {_plain(block.text)}"


@_block.register
def _(block: Bullets) -> str:
    return "\n".join(f"- {_line(item)}" for item in block.items)


@_block.register
def _(block: Facts) -> str:
    return "\n".join(f"- {_start(_plain(name))}: {_line(fact)}" for name, fact in block.items)


@_block.register
def _(block: Card) -> str:
    head = _marked("**", f"{block.label}: {block.badge.text}.")
    return f"{head} {_plain(block.sentence)} {_marked('*', block.notes)}".strip()


@_block.register
def _(block: Grid) -> str:
    rows = [_cells(row.cells) for row in block.rows]
    lines = [[_plain(name) for name in block.columns], ["---"] * len(block.columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


@_block.register
def _(block: Charts) -> str:
    del block  # a grid beside it has the same values
    return ""


@_block.register
def _(block: ImageGrid) -> str:
    return _start(_plain(block.text))


@_block.register
def _(block: ImageStrips) -> str:
    return "\n".join(f"- {_start(_plain(strip.title))}" for strip in block.strips)


@_block.register
def _(block: Details) -> str:
    if not block.in_markdown:
        return ""
    summary = f"<details><summary>{escape(_one_line(block.summary))}</summary>"
    return "\n\n".join([summary, *_blocks(block.blocks), "</details>"])


def _cells(cells: Sequence[Cell]) -> list[str]:
    shown = []
    for cell in cells:
        detail = f" ({_plain(cell.detail)})" if cell.detail else ""
        shown += [_plain(cell.shown) + detail, *[""] * (cell.span - 1)]
    return shown


def _line(content: Iterable[Inline]) -> str:
    return _start("".join(map(_part, content)).strip())


def _part(part: Inline) -> str:
    match part:
        case Strong(text) | Badge(text):
            return _marked("**", text)
        case Code(text):
            return _code(text)
        case Link(text, section):
            return f"[{_plain(text)}](#{anchor(section)})"
        case Small(text):
            return _plain(text)
        case str():
            return _plain(part)


def _marked(mark: str, text: str) -> str:
    """Words between two marks; Markdown wants no space within, and no marks around nothing."""
    words = _plain(text).strip()
    return f"{mark}{words}{mark}" if words else ""


def _code(text: str) -> str:
    """A code span, whose fence is longer than any run of backticks within."""
    line = _one_line(text).strip() or " "
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    space = " " if "`" in line else ""
    return f"{fence}{space}{line}{space}{fence}"


def _one_line(words: str) -> str:
    """The same words on one line; a space at either end stays."""
    return re.sub(r"\s+", " ", words)


# signs anywhere, an underscore outside a word, a number sign before a word, the colon and the dot
# that make an address a link
_OBEYED = re.compile(r"[\\`*\[\]|<>~&]|(?<!\w)_|_(?!\w)|(?<!\S)#|:(?=//)|(?<=www)\.", re.IGNORECASE)


def _plain(words: str) -> str:
    """A user's words on one line, with nothing in them that Markdown or HTML would obey."""
    return _OBEYED.sub(r"\\\g<0>", _one_line(words))


def _start(line: str) -> str:
    """A line whose first words would make it a list, a heading or a rule, as plain words."""
    return re.sub(r"^(\d+)(?=[.)](?:\s|$))|^(?=[-+](?:[-\s]|$)|=)", r"\1\\", line)
