"""Charts as inline SVG: no script, no font, no network; colours come from the page's CSS.

matplotlib draws with sentinel colours, which are then replaced by `currentColor` and by the CSS
variables `--s0` ... `--s7`, so that one drawing serves light and dark pages and print.
"""

import io
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from clonecost.report.aggregate import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = 8  # `--s0` ... `--s7` in page.css
INK = "#fe0100"
SIZE_IN = (5.4, 3.7)  # small, so that the text stays legible on a phone

# matplotlib's markers, and the same shapes in a 12 x 12 box for the legend.
MARKERS: dict[str, str] = {
    "o": '<circle cx="12" cy="6" r="4"/>',
    "s": '<path d="M8.4 2.4h7.2v7.2h-7.2z"/>',
    "^": '<path d="M12 1.5l4.6 8.5h-9.2z"/>',
    "D": '<path d="M12 1.2l4.8 4.8l-4.8 4.8l-4.8-4.8z"/>',
    "v": '<path d="M12 10.5l4.6-8.5h-9.2z"/>',
    "P": '<path d="M10.5 1.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z"/>',
    "X": '<path d="M8 3.5l1.8-1.8l2.2 2.3l2.2-2.3l1.8 1.8l-2.3 2.5l2.3 2.5l-1.8 1.8l-2.2-2.3'
    'l-2.2 2.3l-1.8-1.8l2.3-2.5z"/>',
    "p": '<path d="M12 1.5l4.7 3.4l-1.8 5.5h-5.8l-1.8-5.5z"/>',
}


@dataclass(frozen=True)
class Series:
    """One line of a chart: values with their 95 % CI, by queries."""

    queries: tuple[int, ...]  # ascending
    values: tuple[Estimate, ...]
    dashed: bool = False


@dataclass(frozen=True)
class ReferenceLevel:
    """A horizontal line of reference."""

    value: float
    label: str  # our own words, never a user's: matplotlib reads $ as mathematics


@dataclass(frozen=True)
class QueryCurves:
    """Shares against queries, on a logarithmic axis."""

    series: tuple[Series, ...]
    levels: tuple[ReferenceLevel, ...]
    value_label: str  # of the vertical axis
    envelope: tuple[tuple[int, float], ...] = ()  # (queries, value): a bold stair above all lines
    usd_per_query: float | None = None  # the horizontal axis shows money

    def svg(self, *, name: str, title: str, text: str) -> Markup:
        """One SVG element; `name` starts its ids (unique on the page), the rest is read aloud."""

        def draw(figure: "Figure") -> None:
            axes = figure.add_subplot()
            unit = self.usd_per_query or 1
            spent = [unit * q for one in self.series for q in one.queries]
            _set_axes(axes, self.value_label, spent, money=self.usd_per_query is not None)
            for level in self.levels:
                _draw_level(axes, level)
            for index, one in enumerate(self.series):
                _draw_series(axes, one, index, unit)
            if len(self.envelope) > 1:
                steps = [(unit * q, value) for q, value in self.envelope if q > 0]
                axes.step(
                    [x for x, _ in steps],
                    [value for _, value in steps],
                    where="post",
                    color=INK,
                    linewidth=3.2,
                    alpha=0.75,
                    zorder=2,
                )

        return svg(draw, size=SIZE_IN, name=name, title=title, text=text)


def svg(
    draw: Callable[["Figure"], None], *, size: tuple[float, float], name: str, title: str, text: str
) -> Markup:
    """What `draw` puts onto an empty figure of `size` inches, as one SVG element for the page."""
    # Imported here: drawing takes most of a second to load, and only the page needs it.
    from matplotlib import style
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    settings: dict[str, Any] = {
        "svg.fonttype": "none",  # real text: selectable, searchable, in the page's own font
        "svg.hashsalt": "clonecost",  # the same ids in every process
        "font.family": "DejaVu Sans",  # comes with matplotlib, so the layout is the same everywhere
        "font.size": 11,
    }
    with style.context(["default", settings]):  # not the reader's own matplotlibrc
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        buffer = io.StringIO()
        # No date, no creator: the same runs give the same bytes.
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    return _inline(buffer.getvalue(), name=name, title=title, text=text)


def swatch(index: int) -> Markup:
    """The line and marker of the series at `index`, for a legend."""
    shape = list(MARKERS.values())[_marker(index)]
    return Markup(  # index is a number and the shapes are ours: nothing to escape
        f'<svg class="swatch" viewBox="0 0 24 12" aria-hidden="true" '
        f'style="color: var(--s{index % COLOURS})">'
        f'<path d="M0 6h24" stroke="currentColor" stroke-width="2"/>'
        f'<g fill="currentColor">{shape}</g></svg>'
    )


def _marker(index: int) -> int:
    # Shifted on each round of the colours: no two of the first 64 series look alike.
    return (index + index // COLOURS) % len(MARKERS)


def colour_of(index: int) -> str:
    """To draw with: becomes the page's colour number `index`."""
    return f"#fe02{index % COLOURS:02x}"


def _set_axes(
    axes: "Axes", value_label: str, queries: Sequence[float], *, money: bool = False
) -> None:
    counted = [q for q in queries if q > 0] or [1, 10]
    low, high = min(counted), max(counted)
    axes.set_xscale("log")
    axes.set_xlim(low / 1.25, high * 1.25) if low < high else axes.set_xlim(low / 3, high * 3)
    ticks = _ticks(*axes.get_xlim())
    axes.set_xticks(ticks, [short_number(tick) for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_ylim(0, 1.02)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.set_xlabel(f"{'US dollars' if money else 'queries'} (log scale)", color=INK)
    axes.set_ylabel(value_label, color=INK)
    plain_frame(axes)


def plain_frame(axes: "Axes") -> None:
    """Two axes in the page's ink and lines across."""
    axes.tick_params(colors=INK)
    axes.grid(axis="y", color=INK, alpha=0.12, linewidth=0.8)
    for side, spine in axes.spines.items():
        spine.set_color(INK)
        spine.set_alpha(0.5)
        spine.set_visible(side in ("left", "bottom"))


def _draw_level(axes: "Axes", level: ReferenceLevel) -> None:
    axes.axhline(level.value, color=INK, alpha=0.65, linewidth=1, linestyle=(0, (2, 3)), zorder=1)
    across = axes.get_yaxis_transform()  # x in parts of the axes, y in data
    high = level.value > 0.5  # curves rise to the right: high labels go left, low ones right
    axes.text(
        0.012 if high else 0.988,
        level.value + 0.012,
        level.label,
        transform=across,
        horizontalalignment="left" if high else "right",
        verticalalignment="bottom",
        color=INK,
        size=9.5,
    )


def _draw_series(axes: "Axes", series: Series, index: int, unit: float = 1) -> None:
    colour = colour_of(index)
    style = "--" if series.dashed else "-"
    points = [(unit * q, v) for q, v in zip(series.queries, series.values, strict=True) if q > 0]
    if not points:  # no query was sent: a level, not a curve
        value = series.values[-1].value
        axes.axhline(value, color=colour, linestyle=style, linewidth=1.8)
        return
    queries, values = [q for q, _ in points], [v for _, v in points]
    bounds = [v.low for v in values], [v.high for v in values]
    if len(points) > 1:
        axes.fill_between(queries, *bounds, color=colour, alpha=0.16, linewidth=0)
    else:  # a band needs two points
        axes.vlines(queries, *bounds, color=colour, alpha=0.5, linewidth=5)
    axes.plot(
        queries,
        [v.value for v in values],
        color=colour,
        linestyle=style,
        linewidth=1.8,
        marker=list(MARKERS)[_marker(index)],
        markersize=5.5,
        clip_on=False,
        zorder=3,
    )


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers within the axis: whole decades, and 2 and 5 between them where they fit."""
    steps = (1, 2, 5) if high / low < 500 else (1,)
    every = [step * 10.0**exponent for exponent in range(-6, 16) for step in steps]
    return [float(tick) for tick in every if low <= tick <= high]


def linear_ticks(high: float) -> list[float]:
    """Three to six round numbers from 0 to `high`."""
    unit = 10.0 ** math.floor(math.log10(max(high, 1)))
    step = next(s for s in (0.2 * unit, 0.5 * unit, unit, 2 * unit) if high / s < 6)
    step = max(1.0, step)  # queries are whole
    return [k * step for k in range(int(high / step) + 1)]


def short_number(number: float) -> str:
    """ "20k", "1.5M"."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:g}{unit}"
    return f"{number:g}"


def _inline(svg: str, *, name: str, title: str, text: str) -> Markup:
    """matplotlib's document as an element for HTML: themed, accessible, ids unique on the page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    view = re.search(r'viewBox="[^"]+"', svg)
    assert view is not None, "matplotlib always writes a viewBox"
    body = svg[svg.index(">") + 1 :].replace("xlink:href", "href")

    referred = set(re.findall(r'(?:href="#|url\(#)([^")]+)', body))
    body = re.sub(
        r' id="([^"]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in referred else "", body
    )
    body = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", body)
    body = body.replace("'DejaVu Sans'", "system-ui, sans-serif").replace(INK, "currentColor")
    for index in range(COLOURS):
        body = body.replace(colour_of(index), f"var(--s{index})")
    return Markup(
        f'<svg class="curve" {view[0]} role="img" aria-labelledby="{name}-title {name}-text">'
        f'<title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-text">{escape(text)}</desc>{body}'
    )
