"""How good the final clone is, beside its baselines."""

from collections.abc import Sequence
from statistics import fmean

from clonecost.report.aggregate import OTHERS, Estimate, Group, Point, estimate, estimate_known
from clonecost.report.model import (
    Cell,
    Grid,
    GridRow,
    Measured,
    Missing,
    Nats,
    Section,
    Share,
    Strong,
    Words,
    fine,
    text,
)
from clonecost.report.number_format import count, percent, percent_range
from clonecost.result import metrics

TITLE = "Quality of the final clone"
NOT_KNOWN = Missing("not known: no labels")
OTHER_TITLES = tuple(metrics()[name].title for name in OTHERS)
RULE = (
    "The small figures are 95 % CIs. Chance-corrected agreement is (a - b) / (1 - b), where a is "
    "the agreement and b the majority-class baseline: 0 % is a clone that always gives one class, "
    "100 % an exact copy. Balanced agreement is the mean of the agreement on each class that the "
    "victim gives. Relative accuracy is the clone's accuracy divided by the victim's. "
    "KL divergence is the mean difference between the victim's and the clone's "
    "probabilities, in nats; an exact copy has 0."
)


def quality(groups: Sequence[Group]) -> Section:
    columns = (
        "Attack",
        "Agreement",
        "Majority-class baseline",
        metrics()["corrected_agreement"].title,
        "Accuracy",
        "Victim's accuracy",
        *OTHER_TITLES,
    )
    rows = tuple(
        GridRow(
            (
                Words(group.label),
                measured(group.final.agreement),
                Share(group.majority_baseline),
                measured(group.final.corrected),
                known(group.final.accuracy),
                NOT_KNOWN if group.victim_accuracy is None else Share(group.victim_accuracy),
                *closeness(group.final),
            )
        )
        for group in groups
    )
    errors = [
        text(Strong(f"{group.label}."), f" {said}")
        for group in groups
        if (said := tabular_errors(group))
    ]
    again = [
        text(Strong(f"{group.label}."), f" {said}")
        for group in groups
        if (said := retrained_words(group))
    ]
    left_out = [fine(said) for group in groups if (said := classes_left_out(group))]
    return Section(
        TITLE, (Grid(TITLE, columns, rows), fine(RULE), *dict.fromkeys(left_out), *again, *errors)
    )


def retrained_words(group: Group) -> str | None:
    """How good a fresh clone of the rows that the attack bought is; None if none was trained."""
    found = [run.result.retrained for run in group.runs]
    scores = [score for score in found if score is not None]
    if len(scores) < len(found):
        return None
    agreement = estimate([score.agreement for score in scores])
    accuracy = estimate_known([score.accuracy for score in scores])
    rows = max(score.queries for score in scores)
    right = "" if accuracy is None else f" and its accuracy is {percent(accuracy.value, 1)}"
    return (
        f"A fresh clone, trained by clonecost's own recipe on the {count(rows, 'row')} that the "
        f"attack bought, sent no further query. Its agreement is {percent(agreement.value, 1)} "
        f"({percent_range(agreement.low, agreement.high, 1)}){right}."
    )


def measured(found: Estimate) -> Measured:
    return Measured(found.value, found.low, found.high)


def known(found: Estimate | None) -> Cell:
    """A number that needs true labels."""
    return NOT_KNOWN if found is None else measured(found)


def classes_left_out(group: Group) -> str | None:
    """The classes without a part in balanced agreement; None if all have one."""
    classes = group.first.per_class
    never = sum(not one.rows for one in classes)
    if not never:
        return None
    return (
        f"The victim {group.first.victim.name} gives {never:,} of its "
        f"{count(len(classes), 'class')} for no test input. Balanced agreement leaves them out."
    )


def closeness(point: Point) -> tuple[Cell, ...]:
    """The metrics without a column of their own, of the clones at one point, as `OTHER_TITLES`."""
    return tuple(_cell(value, metrics()[name].kind) for name, value in point.others.items())


def _cell(value: Estimate | float | None, kind: str) -> Cell:
    if value is None:
        return NOT_KNOWN
    if isinstance(value, Estimate):
        return measured(value)
    if kind == "share":
        return Share(value)
    return Nats(value) if kind == "nats" else Words(f"{value:.3g}")


def tabular_errors(group: Group) -> str | None:
    """The errors of Tramèr et al. of the final clones, averaged over seeds; None for images."""
    found = [run.result.curve[-1].table for run in group.runs]
    errors = [error for error in found if error is not None]
    if not errors:
        return None
    test = (
        f"On the test inputs, clone and victim give different classes for "
        f"{percent(fmean(e.r_test.value for e in errors), 2)} (R_test); the total variation "
        f"distance of their probabilities is {fmean(e.tv_test for e in errors):.1e}."
    )
    uniform = [(e.r_unif.value, e.tv_unif, e.uniform_rows) for e in errors if e.r_unif is not None]
    if not uniform:
        return test
    distances = [distance for _, distance, _ in uniform if distance is not None]
    distance = f" and {fmean(distances):.1e}" if distances else ""
    return (
        f"{test} On {uniform[0][2]:,} inputs drawn uniformly from the features' ranges, the values "
        f"are {percent(fmean(r for r, _, _ in uniform), 2)} (R_unif){distance}. These inputs were "
        "sent for the evaluation only."
    )
