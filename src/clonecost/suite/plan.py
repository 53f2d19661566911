"""The plan of a suite: its runs, its queries, and what is missing. Sends and trains nothing."""

from collections.abc import Callable, Sequence

from clonecost.errors import CloneCostError
from clonecost.suite.run import Job
from clonecost.workflows.plan import Plan, survey


def plan_suite(todo: Sequence[Job], *, words: Callable[[CloneCostError], str] = str) -> Plan:
    """The plan of the jobs: a line for every cell, the totals, and what is missing.

    Args:
        words: how an error about a missing part is worded; by default for Python.
    """
    lines: list[tuple[str, str]] = []
    missing: list[str] = []
    runs, queries = 0, 0
    for of_cell in _by_cell(todo):
        left = [job for job in of_cell if job.result() is None]
        budget = of_cell[0].spec.budget
        runs, queries = runs + len(left), queries + len(left) * budget
        cell = of_cell[0].cell
        fact = f"{len(left)} of {len(of_cell)} runs to do, {budget:,} queries each"
        lines.append((f"{cell.column.name} / {cell.row.name}", fact if left else "finished"))
        if left:
            missing += survey(left[0].spec, words=words).missing
    lines.append(("runs", f"{runs} to do of {len(todo)}"))
    lines.append(("queries", f"at most {queries:,} of the attacks, all counted"))
    return Plan(lines, list(dict.fromkeys(missing)))


def _by_cell(todo: Sequence[Job]) -> list[list[Job]]:
    by_cell: dict[tuple[str, str], list[Job]] = {}
    for job in todo:
        by_cell.setdefault((job.cell.column.name, job.cell.row.name), []).append(job)
    return list(by_cell.values())
