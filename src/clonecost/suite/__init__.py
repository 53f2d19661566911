"""Many audits as one table: a suite is data, every cell an ordinary audit, every number a run's."""

from clonecost.suite.pages import html, markdown
from clonecost.suite.places import find, shipped
from clonecost.suite.planning import plan_suite
from clonecost.suite.running import Job, gather, jobs, run_suite, write_table
from clonecost.suite.table import SCHEMA, Table, as_text, merged, read_table
from clonecost.suite.written import Suite, cells, read_suite, scale_of

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
