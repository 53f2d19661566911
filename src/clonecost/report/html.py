"""A report as one self-contained HTML page: no script, no network; light, dark and print."""

from functools import cache
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from clonecost.report import charts
from clonecost.report.model import Report, anchor
from clonecost.safe_text import visible

if TYPE_CHECKING:
    from jinja2 import Environment


def html_page(report: Report) -> str:
    """The page, by `page.html.j2`, which has a macro for each kind of block."""
    return visible(_environment().get_template("page.html.j2").render(report=report))


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
