"""Many audits side by side: a suite is data, a cell an ordinary audit, a number a run's result."""

from clonecost.suite.bundled import find, shipped
from clonecost.suite.definition import Suite, cells, read_suite, scale_of
from clonecost.suite.plan import plan_suite
from clonecost.suite.render import html, markdown
from clonecost.suite.results import SCHEMA, SuiteResults, as_text, merged, read_results
from clonecost.suite.run import Job, gather, jobs, run_suite, write_results

__all__ = [
    "SCHEMA",
    "Job",
    "Suite",
    "SuiteResults",
    "as_text",
    "cells",
    "find",
    "gather",
    "html",
    "jobs",
    "markdown",
    "merged",
    "plan_suite",
    "read_results",
    "read_suite",
    "run_suite",
    "scale_of",
    "shipped",
    "write_results",
]
