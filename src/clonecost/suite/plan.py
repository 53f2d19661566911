"""What a suite would do. Nothing is sent, trained or downloaded for it."""

from collections.abc import Sequence

from clonecost.suite.run import Job
from clonecost.workflows.plan import Plan, plan


def plan_suite(todo: Sequence[Job]) -> Plan:
    """A line for every cell, the totals, and what is missing."""
    lines: list[tuple[str, str]] = []
    missing: list[str] = []
    rest, queries = 0, 0
    for of_cell in _by_cell(todo):
        left = [job for job in of_cell if job.result() is None]
        budget = of_cell[0].spec.budget
        rest, queries = rest + len(left), queries + len(left) * budget
        cell = of_cell[0].cell
        words = f"{len(left)} of {len(of_cell)} runs to do, {budget:,} queries each"
        lines.append((f"{cell.column.name} / {cell.row.name}", words if left else "finished"))
        if left:
            missing += plan(left[0].spec).missing
    lines.append(("runs", f"{rest} to do of {len(todo)}"))
    lines.append(("queries", f"at most {queries:,} of the attacks, all counted"))
    return Plan(lines, list(dict.fromkeys(missing)))


def _by_cell(todo: Sequence[Job]) -> list[list[Job]]:
    found: dict[tuple[str, str], list[Job]] = {}
    for job in todo:
        found.setdefault((job.cell.column.name, job.cell.row.name), []).append(job)
    return list(found.values())
