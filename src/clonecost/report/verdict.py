"""The result of an audit in one sentence, and the band of OWASP AITG-APP-09 that it falls into."""

from dataclasses import dataclass
from pathlib import Path

from clonecost.report.aggregate import Estimate, Group, group_runs
from clonecost.report.load_runs import Run
from clonecost.report.model import Level
from clonecost.report.number_format import about_usd, count, percent, percent_range
from clonecost.result import Result

# OWASP AI Testing Guide, AITG-APP-09: fidelity above 90 % is vulnerable, 75 to 90 % a warning. Here
# the levels are those of chance-corrected agreement (docs/decisions/chance_corrected_agreement.md).
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
        inputs (95 % CI 89.7 to 92 %; majority-class baseline: 10 %; chance-corrected: 90 %)."
    """
    if isinstance(of, Result):
        of = Run(Path(), of)
    group = of if isinstance(of, Group) else group_runs([of])[0]
    final = group.final.agreement
    if group.first.bound:
        clone = "A clone made with your model's clean answers, which no attacker has (a bound),"
    elif group.reference:
        clone = "A clone made with direct access to your model (white-box reference)"
    else:
        price = "" if group.usd is None else f" ({about_usd(group.usd)})"
        lost = f"answered and {group.lost:,} lost " if group.lost else ""
        noun = count(group.spent, "query").partition(" ")[2] if not lost else "queries"
        clone = f"A clone that cost {group.spent:,} {lost}{noun}{price}"
    failed = no_verdict(group)
    seeds = f"mean of {len(group.runs)} seeds; " if len(group.runs) > 1 else ""
    if failed is None and (without := len(group.runs) - group.learnt):
        fact = f"{without} of which failed, so that the CI is wide"
        seeds = f"mean of {len(group.runs)} seeds, {fact}; "
    if failed is None:
        decimals, start = 0, ""
        corrected = f"; chance-corrected: {percent(group.final.corrected.value)}"
    else:  # agreement and baseline may differ by little
        decimals, start, corrected = 1, f"{failed.title}. ", ""
    return (
        f"{start}{clone} agrees with your model on {percent(final.value, decimals)} of unseen "
        f"inputs ({seeds}95 % CI {percent_range(final.low, final.high, decimals)}; majority-class "
        f"baseline: {percent(group.majority_baseline, decimals)}{corrected})."
    )


def verdict(group: Group) -> Verdict:
    """The band that the upper bound of the chance-corrected agreement's 95 % CI falls into.

    An attack that learnt nothing has no band, whatever its agreement: see `no_verdict`.
    """
    if group.reference:
        kind = "bound" if group.first.bound else "white-box reference"
        return Verdict("reference", "Reference", f"A {kind} gives no verdict on the API.")
    failed = no_verdict(group)
    if failed is not None:
        return failed
    high, seeds = group.final.corrected.high, len(group.runs)
    upper = f"The upper bound of the 95 % CI of chance-corrected agreement ({percent(high, 1)})"
    rest = "." if group.learnt == seeds else f"; {seeds - group.learnt} of {seeds} seeds failed."
    if high > VULNERABLE:
        return Verdict("vulnerable", "Vulnerable", f"{upper} is above 90 %{rest}")
    if high >= WARNING:
        return Verdict("warning", "Warning", f"{upper} lies between 75 % and 90 %{rest}")
    title = f"75 % not reached within {count(group.spent, 'query')}"
    return Verdict("below", title, f"{upper} is below 75 %{rest}")


@dataclass(frozen=True)
class Band:
    """A band of AITG-APP-09 by the upper bound of chance-corrected agreement."""

    level: Level
    title: str


def band_of(high: float) -> Band:
    """The band that an upper bound of chance-corrected agreement falls into.

    Example:
        >>> band_of(0.8).title
        'Warning'
    """
    if high > VULNERABLE:
        return Band("vulnerable", "Vulnerable")
    if high >= WARNING:
        return Band("warning", "Warning")
    return Band("below", "Below 75 %")


def no_verdict(group: Group) -> Verdict | None:
    """Why the audit says nothing about the victim; None if it does.

    The clone of no seed learnt anything, see `clonecost.evaluation.chance.learnt`.
    """
    if group.learnt:
        return None
    if group.majority_baseline >= 1:
        rows = count(group.first.victim.test_rows, "test input")
        return Verdict(
            "failed",
            "No verdict: the test set shows one class",
            f"The victim gives the same class for all {rows}. Not even an exact copy could be told "
            "from a clone that always gives this class.",
        )
    found = group.final.corrected
    interval = percent_range(found.low, found.high, 1)
    fact = f"The chance-corrected agreement is {percent(found.value, 1)} (95 % CI {interval})"
    if len(group.runs) > 1:
        fact += ", and no seed's clone is better than chance by its own interval"
    by_class = group.final.others["balanced_agreement"]
    chance = 1 / max(1, sum(one.rows > 0 for one in group.first.per_class))
    if isinstance(by_class, Estimate) and by_class.low > chance:
        return Verdict(
            "failed",
            "No verdict: one class for all inputs may agree as often",
            f"{fact}. But the balanced agreement ({percent(by_class.value, 1)}; by "
            f"chance {percent(chance, 1)}) shows that the clone learnt something of the less "
            "frequent classes: see the agreement by class.",
        )
    return Verdict(
        "failed",
        "No verdict: the attack failed",
        f"{fact}: a clone that always gives the victim's most frequent class may agree as often. "
        "This says little about the victim.",
    )


def at_level(level: float, majority: float) -> float:
    """The agreement whose chance-corrected value is `level`.

    Example:
        >>> round(at_level(0.9, 0.5), 12)
        0.95
    """
    return majority + level * (1 - majority)
