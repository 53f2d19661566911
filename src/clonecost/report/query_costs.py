"""What the rows of one clone were bought for, and how many of them taught it nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

from clonecost.report import wording
from clonecost.report.aggregate import Group
from clonecost.types import Purpose

PURPOSES: dict[Purpose, str] = {
    "training": "training",
    "gradients": "gradient estimates",
    "search": "search",
    "validation": "validation",
}
RULE = (
    "A row taught nothing when no clone was trained on its answer: it bought a gradient estimate, "
    "a step of a search or a check (the winners of a search are trained on, so they did teach)."
)


@dataclass(frozen=True)
class Bill:
    """Of one run; where the seeds of a group differ, of the dearest, as everywhere in a report."""

    spent: int  # rows answered to the attack
    purposes: dict[Purpose, int]  # rows; add up to `spent`, or {} when an old run did not say
    idle: int  # rows whose answer no clone was trained on
    usd_per_1000: float | None

    def usd(self, rows: int) -> float | None:
        return None if self.usd_per_1000 is None else rows * self.usd_per_1000 / 1000

    def words(self, rows: int) -> str:
        """ "29 %, $8.19": part of all answered rows, and money if there is a price."""
        cost = self.usd(rows)
        part = wording.percent(rows / max(1, self.spent), 1)
        return part if cost is None else f"{part}, {wording.usd(cost)}"


def bill(group: Group) -> Bill | None:
    """None for a white-box reference, and for runs that recorded nothing of it."""
    dearest = max((run.result for run in group.runs), key=lambda result: result.spent)
    traffic, search = dearest.traffic, dearest.search
    if group.white_box or not (traffic.purposes or search):
        return None
    taught = search.used_rows if search else traffic.purposes.get("training", 0)
    return Bill(
        spent=dearest.spent,
        purposes=dict(traffic.purposes),
        idle=max(0, dearest.spent - taught),
        usd_per_1000=dearest.price.usd_per_1000,
    )


def purposes_of(bills: Sequence[Bill]) -> list[Purpose]:
    """Those that any of the bills has, in a fixed order."""
    return [purpose for purpose in PURPOSES if any(one.purposes.get(purpose) for one in bills)]


def bill_words(found: Bill) -> str:
    """The bill in one or two sentences."""
    answers = wording.count(found.spent, "answer")
    if not found.idle:
        return f"The clone was trained on all of {answers}."
    parts = [
        f"{PURPOSES[purpose]} {found.purposes[purpose]:,} ({found.words(found.purposes[purpose])})"
        for purpose in purposes_of([found])
    ]
    bought = f" Rows by purpose: {', '.join(parts)}." if parts else ""
    return (
        f"No clone was trained on {found.idle:,} of {answers} ({found.words(found.idle)}).{bought}"
    )
