"""The price of a clone: queries and money for each level of agreement."""

from collections.abc import Sequence

from clonecost.report.aggregate import Group
from clonecost.report.model import Cell, Grid, GridRow, Missing, Money, Section, Words, fine
from clonecost.report.number_format import count, duration, percent, usd
from clonecost.report.verdict import VULNERABLE, WARNING, no_verdict

TITLE = "Cost of a clone"
RULE = (
    "A level is reached at the first scored clone with at least that chance-corrected agreement; "
    "values between two scored clones are not interpolated. Lost queries were sent and paid but "
    "got no usable answer; the total price includes them."
)
NO_PRICE = "no price given"


def costs(groups: Sequence[Group]) -> Section:
    columns = (
        "Attack",
        f"Queries to {percent(WARNING)}",
        f"Queries to {percent(VULNERABLE)}",
        "Queries in total",
        "Price per 1,000 queries",
    )
    rows = tuple(GridRow(_cells(group)) for group in groups)
    lines = [fine(RULE), *(fine(said) for group in groups if (said := characters_of(group)))]
    return Section(TITLE, (Grid(TITLE, columns, rows), *lines))


def characters_of(group: Group) -> str:
    """How many characters a run's texts had, in words; empty: rows are no texts."""
    largest = max((run.result for run in group.runs), key=lambda result: result.spent)
    if largest.traffic.characters is None:
        return ""
    unit = largest.price.usd_per_1000_characters
    priced = "" if unit is None else f", at {usd(unit)} per 1,000 characters"
    each = largest.traffic.characters / max(1, largest.traffic.rows)
    return (
        f"{group.label}: {count(largest.traffic.characters, 'character')} in "
        f"{count(largest.traffic.rows, 'text')}, {each:.0f} each{priced}. A level's price is of "
        "texts of this mean length."
    )


def _cells(group: Group) -> tuple[Cell, ...]:
    unit = group.first.usd_per_1000_queries
    return (
        Words(group.label, note=count(len(group.runs), "seed")),
        queries_to(group, WARNING),
        queries_to(group, VULNERABLE),
        _total(group),
        Missing(NO_PRICE) if unit is None else Money(unit),
    )


def queries_to(group: Group, level: float) -> Cell:
    """The first scored milestone with a corrected agreement of at least `level`, with its price."""
    if group.reference:
        return Missing(f"not measured: {'a bound' if group.first.bound else 'white box'}")
    queries = group.reached(level)
    if queries is None and no_verdict(group):
        return Missing("no verdict")  # a failed attack must not read as good news
    if queries is None:
        return Missing(f"not reached within {count(group.spent, 'query')}")
    cost, endpoint = group.cost_of(queries), group.first.endpoint
    parts = [] if cost is None else [f"≤ {usd(cost)}"]
    if endpoint is not None:  # sending takes time under the rate limit
        parts.append(f"≥ {duration(3600 * endpoint.hours(queries))}")
    return Words(f"≤ {queries:,}", note=", ".join(parts))


def _total(group: Group) -> Cell:
    lost = [f"and {group.lost:,} lost"] if group.lost else []
    price = [] if group.usd is None else [usd(group.usd)]
    return Words(f"{group.spent:,}", note=", ".join([*lost, *price]))
