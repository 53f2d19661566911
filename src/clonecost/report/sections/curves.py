"""Agreement and accuracy against the number of queries."""

from collections.abc import Callable, Sequence

from clonecost.report.aggregate import Estimate, Group, Point
from clonecost.report.charts import QueryCurves, ReferenceLevel, Series
from clonecost.report.model import (
    Chart,
    Charts,
    Count,
    Details,
    Grid,
    GridRow,
    Section,
    Words,
)
from clonecost.report.number_format import count, percent
from clonecost.report.sections.quality import OTHER_TITLES, closeness, known, measured
from clonecost.report.verdict import VULNERABLE, WARNING, at_level
from clonecost.result import metrics

TITLE = "Agreement and accuracy against queries"
CAPTION = (
    "Shaded areas are 95 % CIs. With several seeds, they cover the variation between the seeds "
    "(Student's t). With one seed, they cover the choice of test inputs only. The levels of the "
    "verdict are drawn where chance-corrected agreement reaches them."
)
CROWDED = 0.9  # a baseline above which the levels of the verdict lie within its line


def curves(groups: Sequence[Group]) -> Section:
    legend = tuple(f"{group.label} ({count(len(group.runs), 'seed')})" for group in groups)
    drawn = [_agreement(groups)]
    if all(point.accuracy for group in groups for point in group.points):
        drawn.append(_accuracy(groups))
    charts = Charts(tuple(drawn), CAPTION, legend)
    values = Details("All values as numbers", (_values(groups),))
    return Section(TITLE, (charts, values))


def _agreement(groups: Sequence[Group]) -> Chart:
    baselines = sorted({round(group.majority_baseline, 3) for group in groups})
    levels = []
    for share in baselines:
        if share < CROWDED:  # else the lines would lie on each other
            levels += [
                ReferenceLevel(at_level(VULNERABLE, share), "corrected 90 %: vulnerable"),
                ReferenceLevel(at_level(WARNING, share), "corrected 75 %: warning"),
            ]
        levels.append(ReferenceLevel(share, "majority-class baseline"))
    return _chart(groups, "agreement", "Agreement with the victim", levels, lambda p: p.agreement)


def _accuracy(groups: Sequence[Group]) -> Chart:
    found = [g.victim_accuracy for g in groups if g.victim_accuracy is not None]
    accuracies = sorted({round(accuracy, 3) for accuracy in found})
    levels = [ReferenceLevel(share, "victim's accuracy") for share in accuracies]
    return _chart(groups, "accuracy", "Accuracy of the clone", levels, lambda p: p.accuracy)


def _chart(
    groups: Sequence[Group],
    name: str,
    title: str,
    levels: Sequence[ReferenceLevel],
    value: Callable[[Point], Estimate | None],
) -> Chart:
    series = tuple(
        Series(
            tuple(point.queries for point in group.points),
            tuple(found for point in group.points if (found := value(point))),
            dashed=group.reference,
        )
        for group in groups
    )
    ends = [(group.label, value(group.final)) for group in groups]
    finals = "; ".join(f"{label}: {percent(end.value)}" for label, end in ends if end)
    return Chart(
        name=name,
        title=title,
        text=f"Final {name}: {finals}.",
        drawing=QueryCurves(series, tuple(levels), f"clone's {name}"),
    )


def _values(groups: Sequence[Group]) -> Grid:
    corrected = metrics()["corrected_agreement"].title
    columns = ("Attack", "Queries", "Agreement", corrected, "Accuracy", *OTHER_TITLES)
    rows = tuple(
        GridRow(
            (
                Words(group.label),
                Count(point.queries),
                measured(point.agreement),
                measured(point.corrected),
                known(point.accuracy),
                *closeness(point),
            )
        )
        for group in groups
        for point in group.points
    )
    return Grid("Values of the curves", columns, rows)
