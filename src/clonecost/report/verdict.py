"""The result of an audit in one sentence, and the band of OWASP AITG-APP-09 that it falls into."""

from dataclasses import dataclass
from pathlib import Path

from clonecost.report.aggregate import Group, group_runs
from clonecost.report.load_runs import Run
from clonecost.report.model import Level
from clonecost.report.number_format import about_usd, count, percent, percent_range
from clonecost.result import Result

# OWASP AI Testing Guide, AITG-APP-09: fidelity above 90 % is vulnerable, 75 to 90 % a warning.
VULNERABLE, WARNING = 0.90, 0.75


@dataclass(frozen=True)
class Verdict:
    band: Level
    title: str
    reason: str


def headline(of: Group | Run | Result) -> str:
    """What a clone costs and how well it agrees, in one sentence that stands alone.

    Example:
        "A clone that cost 20,000 queries (about $20) agrees with your model on 91 % of unseen
        inputs (95 % CI 89.7 to 92 %; majority-class baseline: 10 %)."
    """
    if isinstance(of, Result):
        of = Run(Path(), of)
    group = of if isinstance(of, Group) else group_runs([of])[0]
    final = group.final.agreement
    if group.white_box:
        clone = "A clone made with direct access to your model (white-box reference)"
    else:
        price = "" if group.usd is None else f" ({about_usd(group.usd)})"
        lost = f"answered and {group.lost:,} lost " if group.lost else ""
        noun = count(group.spent, "query").partition(" ")[2] if not lost else "queries"
        clone = f"A clone that cost {group.spent:,} {lost}{noun}{price}"
    seeds = f"mean of {len(group.runs)} seeds; " if len(group.runs) > 1 else ""
    return (
        f"{clone} agrees with your model on {percent(final.value)} of unseen inputs "
        f"({seeds}95 % CI {percent_range(final.low, final.high)}; "
        f"majority-class baseline: {percent(group.majority_baseline)})."
    )


def verdict(group: Group) -> Verdict:
    """The band that the upper bound of the final agreement's 95 % CI falls into."""
    if group.white_box:
        return Verdict(
            "reference", "Reference", "A white-box reference gives no verdict on the API."
        )
    high = group.final.agreement.high
    upper = f"The upper bound of the 95 % CI ({percent(high, 1)})"
    if high > VULNERABLE:
        return Verdict("vulnerable", "Vulnerable", f"{upper} is above 90 %.")
    if high >= WARNING:
        return Verdict("warning", "Warning", f"{upper} lies between 75 % and 90 %.")
    title = f"75 % not reached within {count(group.spent, 'query')}"
    return Verdict("below", title, f"{upper} is below 75 %.")
