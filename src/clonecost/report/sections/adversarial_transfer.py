"""Adversarial examples that were made with the clone."""

from collections.abc import Sequence

from clonecost.report.aggregate import Group
from clonecost.report.model import Grid, GridRow, Section, Words, fine, text
from clonecost.report.number_format import count
from clonecost.report.sections.quality import measured
from clonecost.report.summaries import transfers

TITLE = "Adversarial examples made with the clone"
INTRODUCTION = (
    "An adversarial example is a slightly changed image that a classifier gets wrong. These "
    "examples were computed on the clone alone and then sent to the victim."
)
RULE = (
    "A share counts the test inputs that the victim classified correctly before the change and "
    "that are classified incorrectly after the change. No pixel (0 to 1) changes by more than "
    "epsilon. Random noise of the same size needs no clone and is the baseline."
)
UNLABELLED = (
    "Where the test set has no labels, the victim's own answer to the unchanged input stands for "
    "the true class."
)
METHODS = {
    "noise": "Random noise (baseline)", "fgsm": "FGSM", "pgd": "PGD", "mim": "Momentum FGSM",
}  # fmt: skip


def adversarial_transfer(groups: Sequence[Group]) -> Section | None:
    """None when no run tried it."""
    rows = tuple(
        GridRow(
            (
                Words(group.label),
                Words(METHODS.get(found.method, found.method)),
                Words(f"{found.epsilon:g}"),
                measured(found.fooled),
                measured(found.fooled_clone),
            )
        )
        for group in groups
        for found in transfers(group)
    )
    if not rows:
        return None
    columns = ("Attack", "Method", "Epsilon", "Victim misled", "Clone misled")
    tried = [run.transfer for group in groups for run in group.runs if run.transfer]
    rule = RULE if all(one.labelled for one in tried) else f"{RULE} {UNLABELLED}"
    return Section(
        TITLE, (text(INTRODUCTION), Grid(TITLE, columns, rows), fine(rule, " ", _queries(groups)))
    )


def _queries(groups: Sequence[Group]) -> str:
    tried = [run.transfer for group in groups for run in group.runs if run.transfer]
    lost = sum(one.lost for one in tried)
    more = f"; {count(lost, 'query')} got no usable answer" if lost else ""
    return (
        f"This test took {count(sum(one.queries for one in tried), 'query')} after the audit"
        f"{more}. They are counted separately and are not part of any price above."
    )
