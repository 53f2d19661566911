"""Run folders -> one self-contained HTML page, Markdown, or JSON. Pure functions of the runs."""

from clonecost.report.aggregate import Estimate, Group, Point, group_runs
from clonecost.report.html import html
from clonecost.report.load_runs import Run, Samples, load_runs, runs_in
from clonecost.report.markdown import as_json, markdown
from clonecost.report.query_costs import Bill, bill, bill_words
from clonecost.report.wording import Verdict, headline, verdict

__all__ = [
    "Bill",
    "Estimate",
    "Group",
    "Point",
    "Run",
    "Samples",
    "Verdict",
    "as_json",
    "bill",
    "bill_words",
    "group_runs",
    "headline",
    "html",
    "load_runs",
    "markdown",
    "runs_in",
    "verdict",
]
