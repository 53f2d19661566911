"""Many audits as one table: a suite is data, every cell an ordinary audit, every number a run's."""

from clonecost.suite.pages import html, markdown
from clonecost.suite.places import find, shipped
from clonecost.suite.planning import plan_suite
from clonecost.suite.running import Job, gather, jobs, run_suite, write_table
from clonecost.suite.table import SCHEMA, Table, read_table
from clonecost.suite.written import Suite, cells, read_suite, scale_of

__all__ = [
    "SCHEMA",
    "Job",
    "Suite",
    "Table",
    "cells",
    "find",
    "gather",
    "html",
    "jobs",
    "markdown",
    "plan_suite",
    "read_suite",
    "read_table",
    "run_suite",
    "scale_of",
    "shipped",
    "write_table",
]
