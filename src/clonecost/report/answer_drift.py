"""Change of the answers during a run: their classes and entropy over time."""

import math
import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from clonecost.report import charts
from clonecost.report.aggregate import Group
from clonecost.report.number_format import percent
from clonecost.result import Span

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_CLASSES = (
    20  # rows of the drawing; above, the most frequent classes and one row for the others
)
NAME_LENGTH = 14
INVISIBLE = 0.005  # a field of less than this share is left white


@dataclass(frozen=True)
class DriftSpan:
    """One span of the budget, all seeds together."""

    first: int  # number of its first query, from 0
    end: int  # number of its last query + 1
    entropy: float  # mean, in nats
    shares: tuple[float, ...]  # of the answers, by class

    @property
    def top_class(self) -> int:
        return self.shares.index(max(self.shares))


@dataclass(frozen=True)
class AnswerDrift:
    """Classes and entropy of the answers, span by span."""

    spans: tuple[DriftSpan, ...]  # in order, at least two
    names: tuple[str, ...]  # of the classes

    @property
    def largest_share(self) -> float:
        """The largest share of one class within a span: the darkest field of the drawing."""
        return max(max(span.shares) for span in self.spans)

    @property
    def uniform_entropy(self) -> float:
        """Entropy of an answer that gives every class the same probability, in nats."""
        return math.log(max(1, len(self.names)))

    def svg(self, *, name: str, title: str, text: str) -> Markup:
        """A line of the entropy above a strip of fields: a row a class, a column a span."""
        rows = _rows(self)

        def draw(figure: "Figure") -> None:
            above, below = figure.subplots(
                2, 1, sharex=True, height_ratios=(1.35, max(1.2, 0.24 * len(rows)))
            )
            _entropy(above, self)
            _fields(below, self, rows)

        size = charts.SIZE_IN[0], 2.15 + max(1.2, 0.24 * len(rows))
        with warnings.catch_warnings():
            # class names of any script: the browser has the glyphs that our layout's font lacks
            warnings.filterwarnings("ignore", message="Glyph")
            return charts.svg(draw, size=size, name=name, title=title, text=text)


def answer_drift(group: Group) -> AnswerDrift | None:
    """None when the runs did not record it, or sent queries within one span only."""
    spans: dict[int, list[Span]] = defaultdict(list)
    for run in group.runs:
        for span in run.result.traffic.over_time:
            spans[span.first].append(span)
    if len(spans) < 2:
        return None
    classes = max(len(span.class_histogram) for same in spans.values() for span in same)
    return AnswerDrift(
        tuple(_drift_span(spans[first], classes) for first in sorted(spans)),
        tuple(group.runs[0].class_name(index) for index in range(classes)),
    )


def _drift_span(same: Sequence[Span], classes: int) -> DriftSpan:
    rows = sum(span.rows for span in same)
    sums = [sum(sum(span.class_histogram[k : k + 1]) for span in same) for k in range(classes)]
    return DriftSpan(
        first=same[0].first,
        end=max(span.first + span.rows for span in same),
        entropy=sum(span.rows * span.mean_entropy for span in same) / rows,
        shares=tuple(one / rows for one in sums),
    )


def answer_drift_words(drift: AnswerDrift) -> str:
    """The first and the last quarter of the run, compared in two sentences."""
    quarter = max(1, len(drift.spans) // 4)
    first, last = _merged(drift.spans[:quarter]), _merged(drift.spans[-quarter:])

    def top_class(span: DriftSpan) -> str:
        return f"{drift.names[span.top_class]} ({percent(span.shares[span.top_class])})"

    return (
        f"The mean entropy of an answer was {first.entropy:.2f} nats in the first quarter of the "
        f"run and {last.entropy:.2f} nats in the last (maximum: {drift.uniform_entropy:.2f}). "
        f"The most frequent answer was {top_class(first)} in the first quarter and "
        f"{top_class(last)} in the last."
    )


def _merged(spans: Sequence[DriftSpan]) -> DriftSpan:
    """Spans are equally long, but for one at the end."""
    rows = [span.end - span.first for span in spans]
    total = sum(rows)
    entropy = sum(r * s.entropy for r, s in zip(rows, spans, strict=True)) / total
    shares = [
        sum(r * share for r, share in zip(rows, by_class, strict=True)) / total
        for by_class in zip(*(span.shares for span in spans), strict=True)
    ]
    return DriftSpan(spans[0].first, spans[-1].end, entropy, tuple(shares))


def _rows(drift: AnswerDrift) -> list[tuple[str, list[float]]]:
    """(name, share in each span), from the top."""
    by_class = list(zip(*(span.shares for span in drift.spans), strict=True))
    if len(by_class) <= MOST_CLASSES:
        order, others = list(range(len(by_class))), []
    else:
        common = sorted(range(len(by_class)), key=lambda k: -sum(by_class[k]))
        order, others = common[:MOST_CLASSES], common[MOST_CLASSES:]
    rows = [(_short(drift.names[k]), list(by_class[k])) for k in order]
    if others:
        rest = [sum(by_class[k][at] for k in others) for at in range(len(drift.spans))]
        rows.append((f"{len(others):,} others", rest))
    return rows


def _short(name: str) -> str:
    plain = "".join(c for c in " ".join(name.split()) if c.isprintable())
    return plain if len(plain) <= NAME_LENGTH else plain[: NAME_LENGTH - 1] + "…"


def _entropy(axes: "Axes", drift: AnswerDrift) -> None:
    spans = drift.spans
    top = math.log(max(2, len(drift.names)))
    middles = [(s.first + s.end) / 2 for s in spans]
    axes.plot(
        middles,
        [s.entropy for s in spans],
        color=charts.colour_of(1),
        linewidth=1.8,
        marker="o",
        markersize=4,
    )
    axes.axhline(top, color=charts.INK, alpha=0.65, linewidth=1, linestyle=(0, (2, 3)))
    axes.text(
        0.988,
        0.97 * top,
        "all classes equally likely",
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


def _fields(axes: "Axes", drift: AnswerDrift, rows: Sequence[tuple[str, list[float]]]) -> None:
    lengths = [(s.first, s.end - s.first) for s in drift.spans]
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
    axes.set_xlim(0, drift.spans[-1].end)
    axes.set_yticks([at + 0.5 for at in range(len(rows))], [name for name, _ in rows])
    for label in axes.get_yticklabels():
        label.set_parse_math(False)  # a user's words: $ is no mathematics
    charts.plain_frame(axes)
    axes.grid(visible=False)
    axes.tick_params(axis="y", length=0)
    ticks = charts.linear_ticks(drift.spans[-1].end)
    axes.set_xticks(ticks, [charts.short_number(tick) for tick in ticks])
    axes.set_xlabel("queries", color=charts.INK)
