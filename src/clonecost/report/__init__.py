"""Run folders -> one self-contained HTML page, Markdown, JSON, SARIF or JUnit. Pure functions.

`build_report` says what a report contains (`sections/`); `html_page` and `markdown_text` show it.
"""

from collections.abc import Sequence

from clonecost.report.aggregate import Estimate, Group, Point, group_runs
from clonecost.report.build import build_report
from clonecost.report.documents import (
    NO_DOCUMENTS,
    Documents,
    Material,
    attacks_of,
    folders_of,
    measures_in,
    read_documents,
)
from clonecost.report.html import html_page
from clonecost.report.json_document import as_json
from clonecost.report.junit import as_junit
from clonecost.report.load_runs import Run, Samples, SearchImages, load_runs
from clonecost.report.markdown import markdown_text
from clonecost.report.model import Report
from clonecost.report.panel import entry_lines, panel_headline
from clonecost.report.query_costs import QueryCosts, query_costs, query_costs_words
from clonecost.report.sarif import as_sarif
from clonecost.report.verdict import Verdict, headline, verdict
from clonecost.result.gate import Outcome

__all__ = [
    "NO_DOCUMENTS",
    "Documents",
    "Estimate",
    "Group",
    "Point",
    "QueryCosts",
    "Report",
    "Run",
    "Samples",
    "SearchImages",
    "Verdict",
    "as_json",
    "attacks_of",
    "build_report",
    "entry_lines",
    "folders_of",
    "group_runs",
    "headline",
    "html",
    "html_page",
    "junit",
    "load_runs",
    "markdown",
    "markdown_text",
    "measures_in",
    "panel_headline",
    "query_costs",
    "query_costs_words",
    "read_documents",
    "sarif",
    "verdict",
]


def html(runs: Sequence[Run], documents: Documents = NO_DOCUMENTS) -> str:
    """The report on `runs`, and on the panel and the grid beside them, as one HTML page.

    The same runs give the same bytes with the same versions of the libraries.
    """
    return html_page(build_report(runs, documents))


def markdown(runs: Sequence[Run], documents: Documents = NO_DOCUMENTS) -> str:
    """The report on `runs` as GitHub-flavoured Markdown."""
    return markdown_text(build_report(runs, documents))


def sarif(
    runs: Sequence[Run], documents: Documents = NO_DOCUMENTS, outcomes: Sequence[Outcome] = ()
) -> str:
    """The findings on `runs`, and on limits, as SARIF 2.1.0."""
    return as_sarif(_material(runs, documents), outcomes)


def junit(
    runs: Sequence[Run], documents: Documents = NO_DOCUMENTS, outcomes: Sequence[Outcome] = ()
) -> str:
    """The verdicts on `runs`, and the limits, as JUnit XML."""
    return as_junit(_material(runs, documents), outcomes)


def _material(runs: Sequence[Run], documents: Documents) -> Material:
    return Material.of(group_runs(runs), documents)
