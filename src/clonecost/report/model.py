"""A report as plain data: sections of blocks, which the renderers turn into HTML and Markdown.

The sections decide what is said and in which words; a renderer decides only how a block looks.
Markdown leaves charts out, and writes the `text` of an image block in the place of its images.

Example:
    >>> grid = Grid("Prices", ("Attack", "Price"), (GridRow((Words("knockoff"), Money(20))),))
    >>> [cell.shown for cell in grid.rows[0].cells]
    ['knockoff', '$20']
"""

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, Protocol

from markupsafe import Markup

from clonecost.report.number_format import (
    nats,
    percent,
    percent_range,
    points,
    points_range,
    usd,
)

Tone = Literal["plain", "fine", "quiet"]
Level = Literal["vulnerable", "warning", "below", "failed", "reference", "info"]


# -- text within a line --------------------------------------------------------------------------


@dataclass(frozen=True)
class Strong:
    text: str


@dataclass(frozen=True)
class Code:
    text: str


@dataclass(frozen=True)
class Small:
    text: str


@dataclass(frozen=True)
class Badge:
    """A short word with a colour of its level."""

    text: str
    level: Level


@dataclass(frozen=True)
class Link:
    """A link to the section of that title."""

    text: str
    section: str


Inline = str | Strong | Code | Small | Badge | Link


# -- cells of a grid -----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Cell(ABC):
    """One value of a grid, which knows how it is written."""

    note: str = ""  # smaller, behind the value
    bar: float | None = None  # draws the value, too: the filled part, 0..1
    span: int = 1  # columns that the cell fills

    @property
    @abstractmethod
    def shown(self) -> str:
        """The value as it is written."""

    @property
    def detail(self) -> str:
        """The small text behind the value; may be empty."""
        return self.note

    @property
    def missing(self) -> bool:
        """Whether a reason stands in the place of a value."""
        return False


@dataclass(frozen=True)
class Words(Cell):
    text: str

    @property
    def shown(self) -> str:
        return self.text


@dataclass(frozen=True)
class Count(Cell):
    number: float  # shown as a whole number

    @property
    def shown(self) -> str:
        return f"{self.number:,.0f}"


@dataclass(frozen=True)
class Share(Cell):
    """A proportion."""

    value: float

    @property
    def shown(self) -> str:
        return percent(self.value, 1)


@dataclass(frozen=True)
class Measured(Cell):
    """A proportion with its 95 % confidence interval, where there is one."""

    value: float
    low: float | None
    high: float | None

    @property
    def shown(self) -> str:
        return percent(self.value, 1)

    @property
    def detail(self) -> str:
        interval = (
            "" if self.low is None or self.high is None else percent_range(self.low, self.high, 1)
        )
        return "; ".join(part for part in (interval, self.note) if part)


@dataclass(frozen=True)
class Points(Cell):
    """A difference of two shares in percentage points, with its 95 % confidence interval."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def shown(self) -> str:
        return points(self.value)

    @property
    def detail(self) -> str:
        interval = (
            "" if self.low is None or self.high is None else points_range(self.low, self.high)
        )
        return "; ".join(part for part in (interval, self.note) if part)


@dataclass(frozen=True)
class Nats(Cell):
    value: float

    @property
    def shown(self) -> str:
        return nats(self.value)


@dataclass(frozen=True)
class Money(Cell):
    """US dollars."""

    amount: float

    @property
    def shown(self) -> str:
        return usd(self.amount)


@dataclass(frozen=True)
class Missing(Cell):
    """No value, and why."""

    reason: str

    @property
    def shown(self) -> str:
        return self.reason

    @property
    def missing(self) -> bool:
        return True


# -- blocks --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Paragraph:
    content: tuple[Inline, ...]
    tone: Tone = "plain"
    kind: Literal["paragraph"] = "paragraph"


@dataclass(frozen=True)
class Heading:
    """A heading within a section."""

    text: str
    kind: Literal["heading"] = "heading"


@dataclass(frozen=True)
class Bullets:
    items: tuple[tuple[Inline, ...], ...]
    kind: Literal["bullets"] = "bullets"


@dataclass(frozen=True)
class Facts:
    """(name, fact) in order."""

    items: tuple[tuple[str, tuple[Inline, ...]], ...]
    kind: Literal["facts"] = "facts"


@dataclass(frozen=True)
class Card:
    """One result on a coloured card: a label, a badge, one sentence, and notes to it."""

    label: str
    badge: Badge
    sentence: str
    notes: str
    kind: Literal["card"] = "card"


@dataclass(frozen=True)
class GridRow:
    """One cell a column (a `Missing` may span several); the first cell is the row's heading."""

    cells: tuple[Cell, ...]
    marked: bool = False  # stands out from the others


@dataclass(frozen=True)
class Grid:
    """Rows and columns on the page ("table" means tabular data everywhere else)."""

    label: str  # for screen readers
    columns: tuple[str, ...]
    rows: tuple[GridRow, ...]
    wordy: bool = False  # cells of sentences, not numbers
    kind: Literal["grid"] = "grid"


class Drawing(Protocol):
    """Anything that can draw itself as one SVG element."""

    def svg(self, *, name: str, title: str, text: str) -> Markup:
        """The element; `name` starts its ids, `title` and `text` are for screen readers."""
        ...


@dataclass(frozen=True)
class Chart:
    name: str  # unique on the page
    title: str
    text: str  # says in words what the drawing shows
    drawing: Drawing
    kind: Literal["chart"] = "chart"


@dataclass(frozen=True)
class Charts:
    """Charts side by side; `legend` has the label of each series, `caption` explains the lines."""

    charts: tuple[Chart, ...]
    caption: str
    legend: tuple[str, ...] = ()
    kind: Literal["charts"] = "charts"


@dataclass(frozen=True)
class Image:
    source: str  # data URI
    alt: str
    title: str
    detail: str
    note: str
    pixelated: bool  # enlarge with hard pixels


@dataclass(frozen=True)
class ImageGrid:
    images: tuple[Image, ...]
    text: str
    kind: Literal["image_grid"] = "image_grid"


@dataclass(frozen=True)
class StripCell:
    """What stands below one image of a strip."""

    bar: float  # the filled part, 0..1
    title: str
    note: str


@dataclass(frozen=True)
class ImageStrip:
    """Images side by side in one picture of equally wide cells."""

    source: str  # data URI
    alt: str
    title: str
    cells: tuple[StripCell, ...]
    pixelated: bool


@dataclass(frozen=True)
class ImageStrips:
    strips: tuple[ImageStrip, ...]
    kind: Literal["image_strips"] = "image_strips"


@dataclass(frozen=True)
class Details:
    """Blocks that open on demand; `in_markdown=False` keeps them on the page only."""

    summary: str
    blocks: "tuple[Block, ...]"
    opened: bool = False
    in_markdown: bool = True
    kind: Literal["details"] = "details"


Block = (
    Paragraph | Heading | Bullets | Facts | Card | Grid | Charts | ImageGrid | ImageStrips | Details
)


@dataclass(frozen=True)
class Section:
    title: str
    blocks: tuple[Block, ...]

    @property
    def anchor(self) -> str:
        return anchor(self.title)


@dataclass(frozen=True)
class Report:
    """A whole page."""

    title: str
    kicker: str  # the line above the title
    introduction: tuple[Block, ...]
    sections: tuple[Section, ...]
    footer: str


def anchor(title: str) -> str:
    """The id of a section's heading, as GitHub makes it from the title.

    Example:
        >>> anchor("What this audit does not show")
        'what-this-audit-does-not-show'
    """
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def text(*content: Inline) -> Paragraph:
    """A paragraph."""
    return Paragraph(content)


def fine(*content: Inline) -> Paragraph:
    """A paragraph in small print."""
    return Paragraph(content, "fine")


def quiet(*content: Inline) -> Paragraph:
    """A paragraph about something that is not there."""
    return Paragraph(content, "quiet")
