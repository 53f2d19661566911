"""What must not be concluded from an audit, what risk is left, and when to test again."""

from collections.abc import Sequence
from datetime import date, timedelta

from clonecost.report.aggregate import Group
from clonecost.report.model import Bullets, Inline, Section, Strong
from clonecost.report.number_format import count, percent

TITLE = "What this audit does not show"
RETEST_DAYS = 182
LIMITS = (
    "The audit covers the attacks listed here, each with the settings, student and data shown. "
    "Another attack, other settings or better data may give a better clone for the same price.",
    "“Not reached within N queries” describes where the attack stopped. The same attack with more "
    "queries may reach the level.",
    "“The attack failed” says nothing about the victim: another attack, more queries or other data "
    "may succeed.",
    "Agreement was measured on one test set. Other inputs may give other values.",
)


def limits(groups: Sequence[Group]) -> Section:
    items: list[tuple[Inline, ...]] = [(one,) for one in LIMITS]
    items.append((Strong("Risk that is left:"), f" {_risk(groups)}"))
    items.append((Strong("Test again:"), f" {_again(groups)}"))
    return Section(TITLE, (Bullets(tuple(items)),))


def _risk(groups: Sequence[Group]) -> str:
    """The upper bound of the strongest clone through the API: what must be expected at least."""
    learnt = [group for group in groups if group.learnt and not group.reference]
    if not learnt:
        return "not known. No attack through the API made a clone that learnt anything."
    best = max(learnt, key=lambda group: group.final.agreement.high)
    return (
        f"an attacker must be expected to reach {percent(best.final.agreement.high)} agreement "
        f"(upper bound of the interval) with {count(best.spent, 'query')}, the attack "
        f"{best.label}. A stronger attacker than those tried here is possible."
    )


def _again(groups: Sequence[Group]) -> str:
    early = "earlier when the model, its answers, its limits or the known attacks change."
    ended = [_day(run.result.provenance.created) for group in groups for run in group.runs]
    known = [day for day in ended if day is not None]
    if not known:
        return f"{RETEST_DAYS} days after the last run, and {early}"
    due = max(known) + timedelta(days=RETEST_DAYS)
    return f"by {due}, which is {RETEST_DAYS} days after the last run ({max(known)}), and {early}"


def _day(written: str) -> date | None:
    """The day of a recorded time; None if a stranger's file holds something else."""
    try:
        day = date.fromisoformat(written[:10])
    except ValueError:
        return None
    return day if day.year < date.max.year else None
