"""Many audits as one table: a suite is data, every cell an ordinary audit, every number a run's."""

from clonecost.suite.bundled import find, shipped
from clonecost.suite.definition import Suite, cells, read_suite, scale_of
from clonecost.suite.plan import plan_suite
from clonecost.suite.render import html, markdown
from clonecost.suite.results import SCHEMA, Table, as_text, merged, read_table
from clonecost.suite.run import Job, gather, jobs, run_suite, write_table

__all__ = [
    "SCHEMA",
    "Job",
    "Suite",
    "Table",
    "as_text",
    "cells",
    "find",
    "gather",
    "html",
    "jobs",
    "markdown",
    "merged",
    "plan_suite",
    "read_suite",
    "read_table",
    "run_suite",
    "scale_of",
    "shipped",
    "write_table",
]
