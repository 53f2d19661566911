"""Run folders -> one self-contained HTML page, Markdown, or JSON. Pure functions of the runs.

`build_report` says what a report contains (`sections/`); `html_page` and `markdown_text` show it.
"""

from collections.abc import Sequence

from clonecost.report.aggregate import Estimate, Group, Point, group_runs
from clonecost.report.build import build_report
from clonecost.report.documents import NO_DOCUMENTS, Documents, folders_of, read_documents
from clonecost.report.html import html_page
from clonecost.report.json_document import as_json
from clonecost.report.load_runs import Run, Samples, SearchImages, load_runs
from clonecost.report.markdown import markdown_text
from clonecost.report.model import Report
from clonecost.report.query_costs import QueryCosts, query_costs, query_costs_words
from clonecost.report.verdict import Verdict, headline, verdict

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
    "build_report",
    "folders_of",
    "group_runs",
    "headline",
    "html",
    "html_page",
    "load_runs",
    "markdown",
    "markdown_text",
    "query_costs",
    "query_costs_words",
    "read_documents",
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
