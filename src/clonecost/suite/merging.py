"""Results of a suite whose runs were made apart, or before the suite had all its rows."""

from clonecost.errors import Advice, RunError
from clonecost.suite.results import SuiteResults


def merged(kept: SuiteResults, more: SuiteResults) -> SuiteResults:
    """Merge the results of runs that were made apart: `more`, with the cells only `kept` has run.

    Titles, notes and reasons are those of `more`, the newer one, which may have further rows and
    columns: those that the suite has got since.

    Raises:
        RunError: `kept` has rows or columns that `more` lacks, or both have runs of the same cell.
    """
    lost = [r.name for r in kept.rows if (r.name, r.columns) not in _rows(more)]
    lost += [c.name for c in kept.columns if c.name not in [n.name for n in more.columns]]
    if lost or (kept.name, kept.scale) != (more.name, more.scale):
        raise RunError(
            f"{kept.name} at {kept.scale} and {more.name} at {more.scale} do not have the same "
            "rows and columns",
            Advice("render both with the suite's present file"),
            got=f"rows or columns that are gone: {', '.join(lost)}" if lost else None,
        )
    before = {(cell.row, cell.column): cell for cell in kept.cells}
    both = [c for c in more.cells if c.runs and (c.row, c.column) in before
            and before[c.row, c.column].runs]  # fmt: skip
    if both:
        raise RunError(
            f"Both results have runs of row {both[0].row} in column {both[0].column}",
            Advice("leave the cell out of one of them"),
        )
    known_columns = {column.name: column for column in kept.columns if column.victim}
    columns = [known_columns.get(new.name, new) for new in more.columns]
    known = {column.name for column in columns if column.victim}
    teachers = {row.name for row in more.rows if row.teacher}
    cells = []
    for new in more.cells:
        old = before.get((new.row, new.column), new)
        chosen = old if old.runs else new
        if chosen.row in teachers and chosen.column in known:  # measured in the others' runs
            chosen = chosen.model_copy(update={"not_run": None})
        cells.append(chosen)
    joined = more.model_copy(update={"columns": columns, "cells": cells, "warnings": []})
    changed = [changed_victim(c.title) for c in columns if len(_weights(joined, c.name)) > 1]
    return joined.model_copy(
        update={"warnings": list(dict.fromkeys([*kept.warnings, *more.warnings, *changed]))}
    )


def _rows(results: SuiteResults) -> list[tuple[str, list[str] | None]]:
    return [(row.name, row.columns) for row in results.rows]


def changed_victim(column: str) -> str:
    """The warning that a column's runs attacked victims with different weights."""
    return (
        f"{column}: the runs attacked victims with different weights, because the victim was "
        "trained again between them. Repeat the runs with one victim."
    )


def _weights(results: SuiteResults, column: str) -> set[str | None]:
    return {run.victim_weights for c in results.cells if c.column == column for run in c.runs}
