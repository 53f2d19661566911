"""A sample of the queries, as images with their answers."""

from collections.abc import Sequence

from clonecost.report.aggregate import Group
from clonecost.report.load_runs import Run
from clonecost.report.model import (
    Block,
    Count,
    Details,
    Grid,
    GridRow,
    Heading,
    Image,
    ImageGrid,
    Section,
    Share,
    Words,
    quiet,
    text,
)
from clonecost.report.number_format import count, percent
from clonecost.report.sample_grid import Said, Tile, said, tiles

TITLE = "Sample of the queries and their answers"
INTRODUCTION = (
    "The images are spread evenly over the query budget, in the order sent. Each one shows the "
    "answer's top class, its probability, and the number of queries sent before. If an attack has "
    "several query purposes, the sample prefers queries used for training."
)
INTRODUCTION_OF_TEXTS = (
    "The texts are spread evenly over the query budget, in the order sent; longer ones are cut. "
    "Each row shows the answer's top class, its probability, and the number of queries sent before."
)
FIRST_TILES, FURTHER_TILES = 32, 8  # images of a group's first seed, and of each further one


def sample(groups: Sequence[Group]) -> Section:
    shown = [
        Details(group.label, tuple(_blocks(group)), opened=index == 0)
        for index, group in enumerate(groups)
    ]
    texts = all(group.first.threat.text for group in groups)
    return Section(TITLE, (text(INTRODUCTION_OF_TEXTS if texts else INTRODUCTION), *shown))


def _blocks(group: Group) -> list[Block]:
    blocks: list[Block] = []
    for index, run in enumerate(group.runs):
        if len(group.runs) > 1:
            blocks.append(Heading(f"Seed {run.result.provenance.seed}"))
        most = FURTHER_TILES if index else FIRST_TILES
        if run.result.threat.text:
            texts = said(run, most)
            blocks.append(_texts(run, texts) if texts else quiet(_why_none(run)))
            continue
        found = tiles(run, most)
        blocks.append(_images(run, found) if found else quiet(_why_none(run)))
    return blocks


def _texts(run: Run, found: Sequence[Said]) -> Grid:
    rows = tuple(
        GridRow((Words(one.text or "(an empty text)"), Words(one.answer), Share(one.probability),
                 Count(one.row)))
        for one in found
    )  # fmt: skip
    columns = ("Text", "Answer", "Probability", "Queries before")
    return Grid(f"{len(found)} of {count(run.result.spent, 'query')}", columns, rows, wordy=True)


def _images(run: Run, found: Sequence[Tile]) -> ImageGrid:
    return ImageGrid(
        tuple(
            Image(
                source=tile.source,
                alt=f"After {count(tile.row, 'query')}: answered {tile.answer}",
                title=tile.answer,
                detail=percent(tile.probability),
                note=f"after {tile.row:,}",
                pixelated=tile.pixelated,
            )
            for tile in found
        ),
        text=f"The HTML report shows {len(found)} of {count(run.result.spent, 'query')}.",
    )


def _why_none(run: Run) -> str:
    if run.result.threat.features is not None:
        return "Tabular inputs are not drawn. The ledger records every query."
    return "This run folder holds no sample of the queries."
