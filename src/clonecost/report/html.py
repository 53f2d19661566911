"""A report as one self-contained HTML page: no script, no network; light, dark and print."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from clonecost.report import charts
from clonecost.report.live import COLUMNS, LiveRun, totals
from clonecost.report.model import Report, anchor
from clonecost.safe_text import visible

if TYPE_CHECKING:
    from jinja2 import Environment


def html_page(report: Report) -> str:
    """The page, by `page.html.j2`, which has a macro for each kind of block."""
    return visible(_environment().get_template("page.html.j2").render(report=report))


def live_page(name: str, runs: Sequence[LiveRun], every: float) -> str:
    """Runs as they stand, by `live.html.j2`; the page loads itself again after `every` seconds."""
    page = _environment().get_template("live.html.j2")
    goes_on = any(run.state == "running" for run in runs)
    return visible(page.render(
        name=name, runs=runs, columns=COLUMNS, totals=totals(runs), every=every if goes_on else None
    ))  # fmt: skip


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("clonecost.report", "."),
        autoescape=True,  # names come from users
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(words=words, anchor=anchor)
    environment.globals.update(swatch=charts.swatch)
    return environment


def words(sentence: str) -> Markup:
    """Escaped, without a line break between a number and its percent sign."""
    return Markup(str(escape(sentence)).replace(" %", "&nbsp;%"))
