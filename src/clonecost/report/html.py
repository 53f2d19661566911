"""The report as one self-contained HTML page: no script, no network, light, dark and print."""

import shlex
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup, escape

from clonecost.report import charts, sample_grid, wording
from clonecost.report.aggregate import Group, group_runs, setting_words
from clonecost.report.answer_drift import Course, course, course_words, darkest, drawing
from clonecost.report.load_runs import Run
from clonecost.report.query_costs import PURPOSES, RULE, bill, purposes_of
from clonecost.report.search_strips import (
    chance,
    dearest_first,
    search_summary,
    search_words,
    strips,
)
from clonecost.report.summaries import (
    TRANSFER_RULE,
    class_rows,
    controls,
    flags,
    lowest_first,
    traffic,
    transfer_rows,
    transfers,
)

FIRST_TILES, FURTHER_TILES = 32, 8  # images of a group's first seed, and of each further one
FIRST_STRIPS, FURTHER_STRIPS = 10, 2  # the same for the films of a search
CLASSES_SHOWN = 20  # above this many, the classes with the lowest agreement come first


def html(runs: Sequence[Run]) -> str:
    """The page. The same runs give the same bytes with the same versions of the libraries."""
    groups = group_runs(runs)
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            groups=groups,
            runs=[run for group in groups for run in group.runs],
            victims=list(
                {repr(group.first.victim): group.first.victim for group in groups}.values()
            ),
            flags=flags(groups),
            searches=[(group, found) for group in groups if (found := search_summary(group))],
            curves=_curves(groups),
            anything_transferred=any(map(transfers, groups)),
            bills=[(group, owed) for group in groups if (owed := bill(group))],
            courses=[_course(group, index) for index, group in enumerate(groups)],
        )
    )


def _curves(groups: Sequence[Group]) -> list[tuple[str, Markup]]:
    """(caption, drawing) of agreement and of accuracy."""
    finals = "; ".join(f"{g.label}: {wording.percent(g.final.agreement.value)}" for g in groups)
    accuracies = "; ".join(f"{g.label}: {wording.percent(g.final.accuracy.value)}" for g in groups)
    agreement = charts.curve(
        groups,
        "agreement",
        name="agreement",
        title="Agreement of the clone with the model against queries",
        text=f"At the end, {finals}. Every value is in the table below the picture.",
    )
    accuracy = charts.curve(
        groups,
        "accuracy",
        name="accuracy",
        title="Accuracy of the clone against queries",
        text=f"At the end, {accuracies}. Every value is in the table below the picture.",
    )
    return [
        ("Agreement: the clone names the model’s own top class", agreement),
        ("Accuracy: the clone names the true class", accuracy),
    ]


def _course(group: Group, index: int) -> tuple[Course, Markup] | None:
    found = course(group)
    if found is None:
        return None
    return found, drawing(found, name=f"course-{index}", label=group.label)


def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("clonecost.report", "."),
        autoescape=True,  # names come from users
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=wording.percent,
        count=wording.count,
        number="{:,}".format,
        usd=wording.usd,
        nats=wording.nats,
        duration=wording.duration,
        chance=chance,
        unbroken=unbroken,
        setting=setting_words,
        quoted=shlex.quote,
    )
    environment.globals.update(
        text=wording,
        swatch=charts.swatch,
        tiles=sample_grid.tiles,
        class_rows=class_rows,
        lowest_first=lowest_first,
        traffic=traffic,
        controls=controls,
        transfers=transfers,
        transfer_rows=transfer_rows,
        TRANSFER_RULE=TRANSFER_RULE,
        strips=strips,
        search_words=search_words,
        dearest_first=dearest_first,
        purposes_of=purposes_of,
        course_words=course_words,
        darkest=darkest,
        PURPOSES=PURPOSES,
        BILL_RULE=RULE,
        CLASSES_SHOWN=CLASSES_SHOWN,
        FIRST_TILES=FIRST_TILES,
        FURTHER_TILES=FURTHER_TILES,
        FIRST_STRIPS=FIRST_STRIPS,
        FURTHER_STRIPS=FURTHER_STRIPS,
    )
    return environment


def unbroken(sentence: str) -> Markup:
    """No line break between a number and its percent sign."""
    return Markup(str(escape(sentence)).replace(" %", "&nbsp;%"))
