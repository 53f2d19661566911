"""The purposes of a clone's queries, and the number of answers not used for training."""

from collections.abc import Sequence
from dataclasses import dataclass

from clonecost.report.aggregate import Group
from clonecost.report.number_format import count, percent, usd
from clonecost.types import Purpose

PURPOSES: dict[Purpose, str] = {
    "training": "training",
    "gradients": "gradient estimates",
    "search": "search",
    "validation": "validation",
}


@dataclass(frozen=True)
class QueryCosts:
    """The queries of one run: of several seeds, the one with the most queries."""

    spent: int  # queries answered to the attack
    purposes: dict[Purpose, int]  # queries; add up to `spent`, or {} when not recorded
    unused: int  # queries on whose answer no clone was trained
    usd_per_1000: float | None

    def usd(self, queries: int) -> float | None:
        """US dollars for that number of queries; None without a price."""
        return None if self.usd_per_1000 is None else queries * self.usd_per_1000 / 1000

    def part(self, queries: int) -> str:
        """ "29 %, $8.19": the share of all answered queries, and the price if one is known."""
        cost = self.usd(queries)
        share = percent(queries / max(1, self.spent), 1)
        return share if cost is None else f"{share}, {usd(cost)}"


def query_costs(group: Group) -> QueryCosts | None:
    """None for a white-box reference, and for runs that did not record the purposes."""
    largest = max((run.result for run in group.runs), key=lambda result: result.spent)
    traffic, search = largest.traffic, largest.search
    if group.first.threat.access == "white-box" or not (traffic.purposes or search):
        return None
    used = search.used_rows if search else traffic.purposes.get("training", 0)
    return QueryCosts(
        spent=largest.spent,
        purposes=dict(traffic.purposes),
        unused=max(0, largest.spent - used),
        usd_per_1000=largest.usd_per_1000_queries,
    )


def purposes_of(costs: Sequence[QueryCosts]) -> list[Purpose]:
    """The purposes that occur in any of `costs`, in a fixed order."""
    return [purpose for purpose in PURPOSES if any(one.purposes.get(purpose) for one in costs)]


def query_costs_words(costs: QueryCosts) -> str:
    """The costs in one or two sentences."""
    answers = count(costs.spent, "answer")
    if not costs.unused:
        return f"The clone was trained on all {answers}."
    parts = [
        f"{PURPOSES[purpose]} {costs.purposes[purpose]:,} ({costs.part(costs.purposes[purpose])})"
        for purpose in purposes_of([costs])
    ]
    purposes = f" Queries by purpose: {', '.join(parts)}." if parts else ""
    unused = f"{costs.unused:,} of {answers} ({costs.part(costs.unused)})"
    return f"No clone was trained on {unused}.{purposes}"
