"""The verdict on each attack."""

from collections.abc import Sequence

from clonecost.report.aggregate import Group
from clonecost.report.model import Badge, Block, Card, Details, Link, Section, fine, text
from clonecost.report.number_format import count
from clonecost.report.sections.flags import TITLE as FLAGS
from clonecost.report.sections.how_to_read import TITLE as HOW_TO_READ
from clonecost.report.summaries import flags
from clonecost.report.verdict import headline, verdict

TERMS = (
    "Agreement is the share of unseen test inputs for which clone and victim give the same top "
    "class. The majority-class baseline is the agreement of a clone that gives the victim's most "
    "frequent class for every input. Chance-corrected agreement is 0 % at this baseline and 100 % "
    "for an exact copy. "
)
FIRST = 6  # cards that are shown without a click
RULE = (
    "The verdict uses the levels of OWASP AITG-APP-09 for chance-corrected agreement: a model is "
    "vulnerable when a clone reaches more than 90 %; the warning level starts at 75 %. The upper "
    "bound of the 95 % CI decides. An attack whose clone is not better than one that ignores its "
    "input gives no verdict. "
    "More seeds or more test inputs narrow the interval."
)


def verdicts(groups: Sequence[Group]) -> Section:
    cards = tuple(map(_card, groups))
    blocks: list[Block] = list(cards[:FIRST])
    if rest := cards[FIRST:]:  # a grid of defences has dozens
        blocks.append(Details(f"The verdicts on {len(rest)} weaker attacks", rest))
    warnings = [raised for raised in flags(groups) if raised.flag.severity == "warning"]
    if warnings:
        blocks.append(
            text(
                Badge(count(len(warnings), "warning"), "warning"),
                " about this audit. ",
                Link(f"Read the {FLAGS.lower()}", FLAGS),
                " before you rely on the numbers.",
            )
        )
    return Section(
        "Verdict",
        (*blocks, fine(TERMS, Link(HOW_TO_READ, HOW_TO_READ), " explains all terms."), fine(RULE)),
    )


def _card(group: Group) -> Card:
    found = verdict(group)
    lost = f" {count(group.lost, 'query')} got no usable answer." if group.lost else ""
    return Card(
        label=group.label,
        badge=Badge(found.title, found.band),
        sentence=headline(group),
        notes=f"{found.reason} {interval_words(group)}{lost}",
    )


def interval_words(group: Group) -> str:
    """What the confidence intervals of a group cover."""
    if len(group.runs) == 1:
        return (
            "The interval of one seed covers the choice of test inputs, not the variation between "
            "training runs."
        )
    return f"The interval covers the variation between {len(group.runs)} seeds (Student's t)."
