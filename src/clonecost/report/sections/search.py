"""Attacks that search for their training images: success, images, queries a class."""

from collections.abc import Sequence

from clonecost.report.aggregate import Group
from clonecost.report.load_runs import Run
from clonecost.report.long_tables import all_classes
from clonecost.report.model import (
    Block,
    Cell,
    Count,
    Details,
    Grid,
    GridRow,
    Heading,
    ImageStrip,
    ImageStrips,
    Section,
    Share,
    StripCell,
    Words,
    fine,
    quiet,
    text,
)
from clonecost.report.number_format import probability_percent
from clonecost.report.search_strips import (
    ClassCost,
    SearchSummary,
    Strip,
    most_queries_first,
    search_summary,
    search_words,
    strips,
)

TITLE = "Search for training images"
INTRODUCTION = (
    "This attack changes its images over several generations until the victim assigns them to a "
    "target class. Every image tried on the way is a query."
)
STRIPS_RULE = (
    "Each strip shows the first search for one class: the best image after each generation, with "
    "the victim's probability of the target class below."
)
FIRST_STRIPS, FURTHER_STRIPS = 10, 2  # of a group's first seed, and of each further one
CLASSES_SHOWN = 20  # above this many, the classes with the most queries come first


def search(groups: Sequence[Group]) -> Section | None:
    """None when no attack searched."""
    found = [(group, summary) for group in groups if (summary := search_summary(group))]
    if not found:
        return None
    shown = [
        Details(group.label, tuple(_blocks(group, summary)), opened=index == 0)
        for index, (group, summary) in enumerate(found)
    ]
    return Section(TITLE, (text(INTRODUCTION), *shown))


def _blocks(group: Group, summary: SearchSummary) -> list[Block]:
    blocks: list[Block] = [text(search_words(summary))]
    for index, run in enumerate(group.runs):
        if len(group.runs) > 1:
            blocks.append(Heading(f"Seed {run.result.provenance.seed}"))
        blocks += _strips(run, FURTHER_STRIPS if index else FIRST_STRIPS, explained=index == 0)
    return [*blocks, Heading("Queries by target class"), *_class_costs(summary)]


def _strips(run: Run, most: int, *, explained: bool) -> list[Block]:
    found = strips(run, most)
    if not found:
        return [quiet("This run folder holds no images of the search.")]
    shown = ImageStrips(tuple(map(_strip, found)))
    return [fine(STRIPS_RULE), shown] if explained else [shown]


def _strip(strip: Strip) -> ImageStrip:
    return ImageStrip(
        source=strip.source,
        alt=strip.alt,
        title=strip.words,
        cells=tuple(
            StripCell(
                bar=frame.probability,
                title=probability_percent(frame.probability),
                note=f"gen. {frame.generation:,}",
            )
            for frame in strip.frames
        ),
        pixelated=strip.pixelated,
    )


def _class_costs(summary: SearchSummary) -> list[Block]:
    if len(summary.classes) <= CLASSES_SHOWN:
        return [_grid(summary.classes, summary.seeds)]
    first = most_queries_first(summary.classes)[:CLASSES_SHOWN]
    return [
        text(f"The {CLASSES_SHOWN} classes with the most queries:"),
        _grid(first, summary.seeds),
        all_classes(len(summary.classes), lambda: _grid(summary.classes, summary.seeds)),
    ]


def _grid(classes: Sequence[ClassCost], seeds: int) -> Grid:
    queries = f"Queries (mean of {seeds} seeds)" if seeds > 1 else "Queries"

    def row(one: ClassCost) -> tuple[Cell, ...]:
        return Words(one.name), Count(one.queries, bar=one.scale), Share(one.share)

    columns = ("Target class", queries, "Share of all queries")
    return Grid("Queries by target class", columns, tuple(GridRow(row(one)) for one in classes))
