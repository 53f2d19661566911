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
from clonecost.report.sections.quality import OTHER_TITLES, closeness, measured

TITLE = "Agreement and accuracy against queries"
CAPTION = (
    "Shaded areas are 95 % CIs. With several seeds, they cover the variation between the seeds "
    "(Student's t). With one seed, they cover the choice of test inputs only."
)


def curves(groups: Sequence[Group]) -> Section:
    legend = tuple(f"{group.label} ({count(len(group.runs), 'seed')})" for group in groups)
    charts = Charts((_agreement(groups), _accuracy(groups)), CAPTION, legend)
    values = Details("All values as numbers", (_values(groups),))
    return Section(TITLE, (charts, values))


def _agreement(groups: Sequence[Group]) -> Chart:
    baselines = sorted({round(group.majority_baseline, 3) for group in groups})
    levels = [ReferenceLevel(0.9, "90 %: vulnerable"), ReferenceLevel(0.75, "75 %: warning")]
    levels += [ReferenceLevel(share, "majority-class baseline") for share in baselines]
    return _chart(groups, "agreement", "Agreement with the victim", levels, lambda p: p.agreement)


def _accuracy(groups: Sequence[Group]) -> Chart:
    accuracies = sorted({round(group.victim_accuracy, 3) for group in groups})
    levels = [ReferenceLevel(share, "victim's accuracy") for share in accuracies]
    return _chart(groups, "accuracy", "Accuracy of the clone", levels, lambda p: p.accuracy)


def _chart(
    groups: Sequence[Group],
    name: str,
    title: str,
    levels: Sequence[ReferenceLevel],
    value: Callable[[Point], Estimate],
) -> Chart:
    series = tuple(
        Series(
            tuple(point.queries for point in group.points),
            tuple(value(point) for point in group.points),
            dashed=group.white_box,
        )
        for group in groups
    )
    finals = "; ".join(f"{g.label}: {percent(value(g.final).value)}" for g in groups)
    return Chart(
        name=name,
        title=title,
        text=f"Final {name}: {finals}.",
        drawing=QueryCurves(series, tuple(levels), f"clone's {name}"),
    )


def _values(groups: Sequence[Group]) -> Grid:
    columns = ("Attack", "Queries", "Agreement", "Accuracy", *OTHER_TITLES)
    rows = tuple(
        GridRow(
            (
                Words(group.label),
                Count(point.queries),
                measured(point.agreement),
                measured(point.accuracy),
                *closeness(point),
            )
        )
        for group in groups
        for point in group.points
    )
    return Grid("Values of the curves", columns, rows)
