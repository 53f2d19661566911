"""What the queries were used for."""

from collections.abc import Sequence

from clonecost.report.aggregate import Group
from clonecost.report.model import Cell, Count, Grid, GridRow, Missing, Section, Words, fine
from clonecost.report.number_format import usd
from clonecost.report.query_costs import PURPOSES, QueryCosts, purposes_of, query_costs
from clonecost.types import Purpose

TITLE = "Use of the queries"
RULE = (
    "“Not used for training” counts the answers on which no clone was trained: they served "
    "gradient estimates, search steps or validation. The final images of a search count as used."
)
LOST = " Lost queries are not included, because they have no answer."


def query_purposes(groups: Sequence[Group]) -> Section | None:
    """None when no run recorded the purposes."""
    found = [(group, costs) for group in groups if (costs := query_costs(group))]
    if not found:
        return None
    purposes = purposes_of([costs for _, costs in found])
    columns = (
        "Attack",
        *(PURPOSES[purpose].capitalize() for purpose in purposes),
        "Answered queries",
        "Not used for training",
    )
    rows = tuple(
        GridRow(
            (
                Words(group.label),
                *(_purpose(costs, purpose) for purpose in purposes),
                _answered(costs),
                Count(costs.unused, note=costs.part(costs.unused)),
            )
        )
        for group, costs in found
    )
    rule = RULE + (LOST if any(group.lost for group in groups) else "")
    return Section(TITLE, (Grid(TITLE, columns, rows), fine(rule)))


def _purpose(costs: QueryCosts, purpose: Purpose) -> Cell:
    if not costs.purposes:
        return Missing("not recorded")
    queries = costs.purposes.get(purpose)
    return Missing("none") if queries is None else Count(queries, note=costs.part(queries))


def _answered(costs: QueryCosts) -> Cell:
    price = costs.usd(costs.spent)
    return Count(costs.spent, note="" if price is None else usd(price))
