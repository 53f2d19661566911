"""How good the final clone is, beside its baselines."""

from collections.abc import Sequence
from statistics import fmean

from clonecost.report.aggregate import OTHERS, Estimate, Group, Point
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
from clonecost.report.number_format import count, percent
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
    left_out = [fine(said) for group in groups if (said := classes_left_out(group))]
    return Section(
        TITLE, (Grid(TITLE, columns, rows), fine(RULE), *dict.fromkeys(left_out), *errors)
    )


def measured(estimate: Estimate) -> Measured:
    return Measured(estimate.value, estimate.low, estimate.high)


def known(estimate: Estimate | None) -> Cell:
    """A number that needs true labels."""
    return NOT_KNOWN if estimate is None else measured(estimate)


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
