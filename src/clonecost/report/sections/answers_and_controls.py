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
LABELS_RULE = (
    "The agreement on a label is over all test inputs; its baseline is that of a clone that always "
    "decides the same. Chance-corrected agreement puts the baseline at 0 and a perfect clone at 1. "
    "The share of answers counts the attack's queries by the labels that are present."
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
    classes = _classes(class_rows(group), labels=group.first.threat.multi_label)
    return [*blocks, *classes, *_controls(group)]


def _answer_words(group: Group) -> str:
    found = answers(group)
    if found is None:
        return "The attack sent no query."
    seeds = " to all seeds" if len(group.runs) > 1 else ""
    if group.first.threat.multi_label:
        return (
            f"The victim gave {count(found.rows, 'answer')}{seeds}. The mean entropy of a label "
            f"was {nats(found.mean_entropy)} nats (0 for a certain one), and "
            f"{percent(found.confident)} of the labels were present or absent with a probability "
            "above 0.9."
        )
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


def _classes(rows: Sequence[ClassRow], *, labels: bool) -> list[Block]:
    if not rows:
        return []
    head: list[Block] = [
        Heading(f"Agreement by {'label' if labels else 'class'}"),
        fine(LABELS_RULE if labels else CLASSES_RULE),
    ]
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
    if rows[0].majority is not None:
        labels = ("Label", "Agreement", "Baseline", "Chance-corrected", "Share of answers",
                  "Test inputs with it")  # fmt: skip
        return Grid("Agreement by label", labels, tuple(GridRow(_label_cells(r)) for r in rows))
    columns = ("Class", "Agreement", "Share of answers", "Test inputs")
    return Grid("Agreement by class", columns, tuple(GridRow(_class_cells(row)) for row in rows))


def _class_cells(row: ClassRow) -> tuple[Cell, ...]:
    return Words(row.name), _agreement(row), _share(row), Count(row.rows)


def _label_cells(row: ClassRow) -> tuple[Cell, ...]:
    rate, base = row.agreement, row.majority or 0
    above = (rate.value - base) / (1 - base) if rate is not None and base < 1 else None
    return (
        Words(row.name),
        _agreement(row),
        Share(base),
        Missing("always the same") if above is None else Share(above),
        _share(row),
        Count(row.rows),
    )


def _agreement(row: ClassRow) -> Cell:
    rate = row.agreement
    if rate is None:
        return Missing("no test input")
    return Measured(rate.value, rate.low, rate.high, bar=rate.value)


def _share(row: ClassRow) -> Cell:
    return Missing("no query") if row.share is None else Share(row.share, bar=row.share)


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
