"""How the questions changed while an attack ran: classes and entropy of the answers over time."""

import math
import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from clonecost.report import charts, wording
from clonecost.report.aggregate import Group
from clonecost.result import Span

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_CLASSES = 20  # rows of the picture; above, the commonest ones and one for all others
NAME_LENGTH = 14
INVISIBLE = 0.005  # a field of less than this share is left white


@dataclass(frozen=True)
class Stretch:
    """One span of the budget, all seeds together."""

    first: int  # row of the stream, from 0
    end: int  # of its last row + 1
    entropy: float  # mean, in nats
    shares: tuple[float, ...]  # of the answers, by class

    @property
    def commonest(self) -> int:
        return self.shares.index(max(self.shares))


@dataclass(frozen=True)
class Course:
    stretches: tuple[Stretch, ...]  # in order, at least two
    names: tuple[str, ...]  # of the classes


def course(group: Group) -> Course | None:
    """None when the runs did not record it, or asked within one span only."""
    spans: dict[int, list[Span]] = defaultdict(list)
    for run in group.runs:
        for span in run.result.traffic.over_time:
            spans[span.first].append(span)
    if len(spans) < 2:
        return None
    count = max(len(span.class_histogram) for same in spans.values() for span in same)
    return Course(
        tuple(_stretch(spans[first], count) for first in sorted(spans)),
        tuple(group.runs[0].class_name(index) for index in range(count)),
    )


def _stretch(same: Sequence[Span], classes: int) -> Stretch:
    rows = sum(span.rows for span in same)
    sums = [sum(sum(span.class_histogram[k : k + 1]) for span in same) for k in range(classes)]
    return Stretch(
        first=same[0].first,
        end=max(span.first + span.rows for span in same),
        entropy=sum(span.rows * span.mean_entropy for span in same) / rows,
        shares=tuple(one / rows for one in sums),
    )


def course_words(found: Course) -> str:
    """The first and the last quarter of the run, compared in one sentence."""
    quarter = max(1, len(found.stretches) // 4)
    first, last = (
        _merged(part) for part in (found.stretches[:quarter], found.stretches[-quarter:])
    )
    blind = math.log(max(1, len(found.names)))

    def commonest(stretch: Stretch) -> str:
        at = stretch.commonest
        return f"{found.names[at]} ({wording.percent(stretch.shares[at])})"

    return (
        f"From the first quarter of the run to the last, the mean entropy of an answer went from "
        f"{first.entropy:.2f} to {last.entropy:.2f} nats ({blind:.2f} is a blind guess), and the "
        f"commonest answer from {commonest(first)} to {commonest(last)}."
    )


def _merged(stretches: Sequence[Stretch]) -> Stretch:
    """Spans are equally long, but for one at the end."""
    rows = [stretch.end - stretch.first for stretch in stretches]
    total = sum(rows)
    entropy = sum(r * s.entropy for r, s in zip(rows, stretches, strict=True)) / total
    shares = [
        sum(r * share for r, share in zip(rows, by_class, strict=True)) / total
        for by_class in zip(*(stretch.shares for stretch in stretches), strict=True)
    ]
    return Stretch(stretches[0].first, stretches[-1].end, entropy, tuple(shares))


def darkest(found: Course) -> float:
    """The largest share of one class within a span: the darkest field of the picture."""
    return max(max(stretch.shares) for stretch in found.stretches)


def drawing(found: Course, *, name: str, label: str) -> Markup:
    """A line of the entropy above a strip of fields, a row for each class and a column a span."""
    rows = _rows(found)

    def draw(figure: "Figure") -> None:
        above, below = figure.subplots(
            2, 1, sharex=True, height_ratios=(1.35, max(1.2, 0.24 * len(rows)))
        )
        _entropy(above, found)
        _fields(below, found, rows)

    height = 2.15 + max(1.2, 0.24 * len(rows))
    with warnings.catch_warnings():
        # class names of any script: the browser has the glyphs that our layout's font lacks
        warnings.filterwarnings("ignore", message="Glyph")
        return charts.svg(
            draw,
            size=(charts.SIZE_IN[0], height),
            name=name,
            title=f"{label}: entropy and classes of the answers over the run",
            text=course_words(found),
        )


def _rows(found: Course) -> list[tuple[str, list[float]]]:
    """(name, share in each stretch), from the top."""
    by_class = list(zip(*(stretch.shares for stretch in found.stretches), strict=True))
    if len(by_class) <= MOST_CLASSES:
        order, others = list(range(len(by_class))), []
    else:
        common = sorted(range(len(by_class)), key=lambda k: -sum(by_class[k]))
        order, others = common[:MOST_CLASSES], common[MOST_CLASSES:]
    rows = [(_short(found.names[k]), list(by_class[k])) for k in order]
    if others:
        rest = [sum(by_class[k][at] for k in others) for at in range(len(found.stretches))]
        rows.append((f"{len(others):,} others", rest))
    return rows


def _short(name: str) -> str:
    plain = "".join(c for c in " ".join(name.split()) if c.isprintable())
    return plain if len(plain) <= NAME_LENGTH else plain[: NAME_LENGTH - 1] + "…"


def _entropy(axes: "Axes", found: Course) -> None:
    stretches = found.stretches
    top = math.log(max(2, len(found.names)))
    middles = [(s.first + s.end) / 2 for s in stretches]
    axes.plot(
        middles,
        [s.entropy for s in stretches],
        color=charts.colour_of(1),
        linewidth=1.8,
        marker="o",
        markersize=4,
    )
    axes.axhline(top, color=charts.INK, alpha=0.65, linewidth=1, linestyle=(0, (2, 3)))
    axes.text(
        0.988,
        0.97 * top,
        "all classes alike",
        transform=axes.get_yaxis_transform(),
        horizontalalignment="right",
        verticalalignment="top",
        color=charts.INK,
        size=9.5,
    )
    axes.set_ylim(0, 1.04 * top)
    axes.set_ylabel("entropy, nats", color=charts.INK)
    charts.plain_frame(axes)
    axes.tick_params(axis="x", length=0, labelbottom=False)


def _fields(axes: "Axes", found: Course, rows: Sequence[tuple[str, list[float]]]) -> None:
    lengths = [(s.first, s.end - s.first) for s in found.stretches]
    most = max(max(shares) for _, shares in rows)
    for at, (_, shares) in enumerate(rows):
        seen = [
            (x, share / most)
            for x, share in zip(lengths, shares, strict=True)
            if share >= INVISIBLE
        ]
        axes.broken_barh(
            [x for x, _ in seen],
            (at + 0.05, 0.9),
            linewidth=0,
            facecolors=[(charts.colour_of(0), depth) for _, depth in seen],
        )
    axes.set_ylim(len(rows), 0)
    axes.set_xlim(0, found.stretches[-1].end)
    axes.set_yticks([at + 0.5 for at in range(len(rows))], [name for name, _ in rows])
    for words in axes.get_yticklabels():
        words.set_parse_math(False)  # a user's words: $ is no mathematics
    charts.plain_frame(axes)
    axes.grid(visible=False)
    axes.tick_params(axis="y", length=0)
    ticks = charts.linear_ticks(found.stretches[-1].end)
    axes.set_xticks(ticks, [charts.short(tick) for tick in ticks])
    axes.set_xlabel("queries (rows sent)", color=charts.INK)
