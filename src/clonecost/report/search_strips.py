"""The searches of an attack that searches for its images: strips of images, queries a class."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clonecost.report import sample_grid
from clonecost.report.aggregate import Group
from clonecost.report.load_runs import Run
from clonecost.report.number_format import count, percent, probability_percent

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

MOST_FRAMES = 12  # longer searches are shown at generations that are evenly spread
LARGEST_PX = 64  # a bigger frame is shrunk: many stand side by side
GAP_PX = 1  # transparent, so that dark images do not run into each other


@dataclass(frozen=True)
class Frame:
    generation: int  # from 1
    probability: float  # of the class that is searched for, as the model answered


@dataclass(frozen=True)
class Strip:
    """One search: the best image so far after each generation, side by side in one picture."""

    target: str  # name of the class that is searched for
    source: str  # data URI of a PNG of len(frames) equally wide cells
    frames: tuple[Frame, ...]
    pixelated: bool  # enlarge with hard pixels

    @property
    def words(self) -> str:
        """ "Trouser: <1 % → 97 % in 6 generations"."""
        first, last = self.frames[0], self.frames[-1]
        if last.generation == 1:
            return f"{self.target}: {probability_percent(last.probability)} in the first generation"
        change = (
            f"{probability_percent(first.probability)} → {probability_percent(last.probability)}"
        )
        return f"{self.target}: {change} in {last.generation:,} generations"

    @property
    def alt(self) -> str:
        """Text for a screen reader."""
        return f"Best image after each generation of a search for {self.words}"


@dataclass(frozen=True)
class ClassCost:
    name: str
    queries: float  # sent while this class was searched for; mean over seeds
    share: float  # of the queries of all classes
    scale: float  # of the queries of the class with the most


@dataclass(frozen=True)
class SearchSummary:
    """The searches of all seeds that have any."""

    seeds: int
    targets: int  # searches that ended
    reached: int  # of these, those that reached the target probability
    generations: float  # mean of a search that ended
    used: int  # rows that the students are trained on
    spent: int
    unused: float  # share of the queries; weighted by rows
    classes: tuple[ClassCost, ...]  # in the victim's order


def search_summary(group: Group) -> SearchSummary | None:
    """Sums over the group's seeds, means where the field says so; None if no seed searched."""
    found = [(run, run.result.search) for run in group.runs if run.result.search is not None]
    if not found:
        return None
    searches = [search for _, search in found]
    spent = [run.result.spent for run, _ in found]
    targets = sum(search.targets for search in searches)
    generations = sum(search.targets * search.generations for search in searches)
    unused = sum(rows * s.wasted for rows, s in zip(spent, searches, strict=True))
    return SearchSummary(
        seeds=len(found),
        targets=targets,
        reached=sum(search.reached for search in searches),
        generations=generations / targets if targets else 0.0,
        used=sum(search.used_rows for search in searches),
        spent=sum(spent),
        unused=unused / sum(spent) if sum(spent) else 0.0,
        classes=_class_costs(found[0][0], [search.queries_per_class for search in searches]),
    )


def search_words(summary: SearchSummary) -> str:
    """Targets, successes, generations and the queries not used for training, in sentences."""
    if summary.targets:
        over = f" (all {summary.seeds} seeds)" if summary.seeds > 1 else ""
        ended = (
            f"{count(summary.targets, 'search')} ended{over}; {summary.reached:,} "
            f"({percent(summary.reached / summary.targets, 1)}) reached the target probability. "
            f"The mean length of a search was {summary.generations:.1f} generations."
        )
    else:
        ended = "No search ended within the query budget."
    answers = count(summary.spent, "answer")
    if not summary.unused:
        return f"{ended} The clone was trained on all {answers}."
    share = percent(summary.unused, 1)
    return (
        f"{ended} The clone was trained on {summary.used:,} of {answers}; {share} of the answers "
        "served the search only."
    )


def most_queries_first(classes: Sequence[ClassCost]) -> list[ClassCost]:
    return sorted(classes, key=lambda one: -one.queries)


def strips(run: Run, most: int) -> list[Strip]:
    """Up to `most` strips, each the first search for its class; [] without found."""
    found = run.search_images
    if found is None:
        return []
    first_of_class: dict[int, int] = {}
    for index, target in enumerate(found.targets.tolist()):
        if np.isfinite(found.probability[index]).any():
            first_of_class.setdefault(target, index)
    return [
        _strip(found.images[index], found.probability[index], run.class_name(target))
        for target, index in list(first_of_class.items())[:most]
    ]


def _strip(images: NDArray[np.uint8], probability: NDArray[np.float32], target: str) -> Strip:
    """One search of (G, C, H, W) images; generations without a probability are left out."""
    known = np.flatnonzero(np.isfinite(probability))
    picks = np.linspace(0, len(known) - 1, min(MOST_FRAMES, len(known))).round().astype(int)
    shown = known[picks]
    return Strip(
        target=target,
        source=sample_grid.uri(
            _side_by_side([sample_grid.picture(images[g], LARGEST_PX) for g in shown])
        ),
        frames=tuple(Frame(int(g) + 1, float(probability[g])) for g in shown),
        pixelated=max(images.shape[2:]) <= LARGEST_PX,
    )


def _side_by_side(pictures: Sequence["Picture"]) -> "Picture":
    """One picture instead of many: a page with a hundred data URIs is slow and large."""
    from PIL import Image

    width, height = pictures[0].size
    alpha = "LA" if pictures[0].mode == "L" else "RGBA"
    clear: Any = (0,) * len(alpha)
    strip = Image.new(alpha, ((width + GAP_PX) * len(pictures), height), clear)
    for index, one in enumerate(pictures):
        strip.paste(one.convert(alpha), (index * (width + GAP_PX), 0))
    return strip


def _class_costs(run: Run, queries: Sequence[Sequence[int]]) -> tuple[ClassCost, ...]:
    """Mean over the seeds; a list that is shorter than another counts with zeros."""
    length = max(map(len, queries))
    sums = [sum(sum(one[index : index + 1]) for one in queries) for index in range(length)]
    total, most = max(1, sum(sums)), max([1, *sums])
    return tuple(
        ClassCost(run.class_name(index), rows / len(queries), rows / total, rows / most)
        for index, rows in enumerate(sums)
    )
