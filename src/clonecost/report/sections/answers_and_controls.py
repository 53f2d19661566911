"""The victim's answers, the clone's agreement by class, and the controls of each attack."""

from collections.abc import Sequence

from clonecost.report.aggregate import Group
from clonecost.report.answer_drift import AnswerDrift, answer_drift, answer_drift_words
from clonecost.report.long_tables import all_classes
from clonecost.report.model import (
    Block,
    Cell,
    Chart,
    Charts,
    Count,
    Details,
    Grid,
    GridRow,
    Heading,
    Measured,
    Missing,
    Nats,
    Section,
    Share,
    Words,
    fine,
    quiet,
    text,
)
from clonecost.report.number_format import count, nats, percent
from clonecost.report.sections.quality import known, measured
from clonecost.report.summaries import ClassRow, answers, class_rows, controls, lowest_first
from clonecost.result import metrics

TITLE = "Answers, classes and controls"
CLASSES_SHOWN = 20  # above this many, half of them the lowest and half the highest agreement
CLASSES_RULE = (
    "A test input belongs to the class that the victim gives. The share of answers counts the "
    "attack's queries by the answer's top class."
)
CONTROLS_RULE = "Controls train a student in the same way, but without the victim's answers."
NO_CONTROLS = "Controls were not run: the audit did not request them."


def answers_and_controls(groups: Sequence[Group]) -> Section:
    return Section(
        TITLE,
        tuple(
            Details(group.label, tuple(_blocks(group, index)), opened=index == 0)
            for index, group in enumerate(groups)
        ),
    )


def _blocks(group: Group, index: int) -> list[Block]:
    blocks: list[Block] = [text(_answer_words(group))]
    drift = answer_drift(group)
    if drift is not None:
        blocks += _drift(group, drift, f"answers-{index}")
    return [*blocks, *_classes(class_rows(group)), *_controls(group)]


def _answer_words(group: Group) -> str:
    found = answers(group)
    if found is None:
        return "The attack sent no query."
    seeds = " to all seeds" if len(group.runs) > 1 else ""
    return (
        f"The victim gave {count(found.rows, 'answer')}{seeds}. The mean entropy of an answer was "
        f"{nats(found.mean_entropy)} nats (0 for a certain answer). {percent(found.confident)} of "
        "the answers had a top probability above 0.9."
    )


def _drift(group: Group, drift: AnswerDrift, name: str) -> list[Block]:
    seeds = " of all seeds" if len(group.runs) > 1 else ""
    chart = Chart(
        name=name,
        title=f"Entropy and classes of the answers: {group.label}",
        text=answer_drift_words(drift),
        drawing=drift,
    )
    caption = (
        f"Top: mean entropy of the answers{seeds} in {len(drift.spans)} parts of the run (the last "
        "part may be shorter). Bottom: share of each class in a part. The darkest field is "
        f"{percent(drift.largest_share)}; an empty field is below 0.5 %. All queries count, "
        "whatever their purpose."
    )
    rows = tuple(
        GridRow(
            (
                Words(f"{span.first + 1:,} to {span.end:,}"),
                Nats(span.entropy),
                Words(drift.names[span.top_class]),
                Share(span.shares[span.top_class]),
            )
        )
        for span in drift.spans
    )
    columns = ("Queries", "Mean entropy (nats)", "Most frequent answer", "Share of answers")
    return [
        Heading("Change of the answers during the run"),
        text(answer_drift_words(drift)),
        Charts((chart,), caption),
        Details("All values as numbers", (Grid("Answers during the run", columns, rows),)),
    ]


def _classes(rows: Sequence[ClassRow]) -> list[Block]:
    if not rows:
        return []
    head: list[Block] = [Heading("Agreement by class"), fine(CLASSES_RULE)]
    if len(rows) <= CLASSES_SHOWN:
        return [*head, _class_grid(rows)]
    half = CLASSES_SHOWN // 2
    seen = [row for row in lowest_first(rows) if row.agreement is not None]
    if len(seen) <= CLASSES_SHOWN:
        some: list[Block] = [
            text(f"The {count(len(seen), 'class')} of {len(rows):,} with a test input:")
        ]
        some += [_class_grid(seen)] if seen else []
    else:
        some = [
            text(f"The {half} of {len(rows):,} classes with the lowest agreement:"),
            _class_grid(seen[:half]),
            text(f"The {half} classes with the highest agreement:"),
            _class_grid(seen[: -half - 1 : -1]),
        ]
    return [*head, *some, all_classes(len(rows), lambda: _class_grid(rows))]


def _class_grid(rows: Sequence[ClassRow]) -> Grid:
    columns = ("Class", "Agreement", "Share of answers", "Test inputs")
    return Grid("Agreement by class", columns, tuple(GridRow(_class_cells(row)) for row in rows))


def _class_cells(row: ClassRow) -> tuple[Cell, ...]:
    rate = row.agreement
    return (
        Words(row.name),
        Missing("no test input")
        if rate is None
        else Measured(rate.value, rate.low, rate.high, bar=rate.value),
        Missing("no query") if row.share is None else Share(row.share, bar=row.share),
        Count(row.rows),
    )


def _controls(group: Group) -> list[Block]:
    found, final = controls(group), group.final
    if not found:
        return [quiet(NO_CONTROLS)]
    rows = [
        *((one.name, one.agreement, one.corrected, one.accuracy) for one in found),
        ("The clone itself", final.agreement, final.corrected, final.accuracy),
    ]
    grid = Grid(
        "Controls",
        ("Control", "Agreement", metrics()["corrected_agreement"].title, "Accuracy"),
        tuple(GridRow((Words(name), measured(a), measured(c), known(b))) for name, a, c, b in rows),
    )
    return [Heading("Controls"), fine(CONTROLS_RULE), grid]
