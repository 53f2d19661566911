"""How an attack that searches for its images went: film strips, the price of a class, waste."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clonecost.report import sample_grid, wording
from clonecost.report.aggregate import Group
from clonecost.report.load_runs import Run

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
    small: bool  # enlarge with hard pixels

    @property
    def words(self) -> str:
        """ "Trouser: <1 % → 97 % in 6 generations"."""
        first, last = self.frames[0], self.frames[-1]
        if last.generation == 1:
            return f"{self.target}: {chance(last.probability)} in the first generation"
        change = f"{chance(first.probability)} → {chance(last.probability)}"
        return f"{self.target}: {change} in {last.generation:,} generations"

    @property
    def alt(self) -> str:
        """What a screen reader says instead of the picture."""
        return f"The best image so far, generation by generation, of a search for {self.words}"


@dataclass(frozen=True)
class ClassCost:
    name: str
    queries: float  # rows bought while this class was searched for; mean over seeds
    share: float  # of the queries of all classes
    scale: float  # of the queries of the dearest class


@dataclass(frozen=True)
class SearchSummary:
    """The searches of all seeds that have any."""

    seeds: int
    targets: int  # searches that ended
    reached: int  # of these, those that met the threshold
    generations: float  # mean of a search that ended
    used: int  # rows that the students are trained on
    spent: int
    wasted: float  # share of what was spent; weighted by rows
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
    wasted = sum(rows * s.wasted for rows, s in zip(spent, searches, strict=True))
    return SearchSummary(
        seeds=len(found),
        targets=targets,
        reached=sum(search.reached for search in searches),
        generations=generations / targets if targets else 0.0,
        used=sum(search.used_rows for search in searches),
        spent=sum(spent),
        wasted=wasted / sum(spent) if sum(spent) else 0.0,
        classes=_class_costs(found[0][0], [search.queries_per_class for search in searches]),
    )


def search_words(summary: SearchSummary) -> str:
    """Targets, hits, generations and waste, in sentences."""
    over = f"Over {summary.seeds} seeds, " if summary.seeds > 1 else ""
    if summary.targets:
        verb = "was" if summary.targets == 1 else "were"
        tried = f"{over}{wording.count(summary.targets, 'target')} {verb} tried"
        hits = f"{summary.reached:,} reached the threshold"
        share = wording.percent(summary.reached / summary.targets, 1)
        took = f"a search took {summary.generations:.1f} generations on average"
        ended = f"{tried}, and {hits} ({share}); {took}."
    else:
        ended = f"{over}no search ended within the budget."
    rows = wording.count(summary.spent, "answered row")
    if summary.wasted:
        share = wording.percent(summary.wasted, 1)
        waste = f"Of {rows}, {summary.used:,} train the student; {share} served the search alone."
    else:
        waste = f"The student is trained on all of the {rows}."
    return f"{ended[0].upper()}{ended[1:]} {waste}"


def dearest_first(classes: Sequence[ClassCost]) -> list[ClassCost]:
    return sorted(classes, key=lambda one: -one.queries)


def strips(run: Run, most: int) -> list[Strip]:
    """Up to `most` film strips, each the first search for its class; [] without films."""
    films = run.films
    if films is None:
        return []
    first_of_class: dict[int, int] = {}
    for index, target in enumerate(films.targets.tolist()):
        if np.isfinite(films.probability[index]).any():
            first_of_class.setdefault(target, index)
    return [
        _strip(films.images[index], films.probability[index], run.class_name(target))
        for target, index in list(first_of_class.items())[:most]
    ]


def chance(probability: float) -> str:
    """A probability in whole percent; "<1 %" and ">99 %" where rounding would say never, always."""
    if not 0.005 <= probability < 0.995:
        return "<1 %" if probability < 0.5 else ">99 %"
    return f"{100 * probability:.0f} %"


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
        small=max(images.shape[2:]) <= LARGEST_PX,
    )


def _side_by_side(pictures: Sequence["Picture"]) -> "Picture":
    """One picture instead of many: a page with a hundred data URIs is slow and large."""
    from PIL import Image

    width, height = pictures[0].size
    alpha = "LA" if pictures[0].mode == "L" else "RGBA"
    clear: Any = (0,) * len(alpha)
    film = Image.new(alpha, ((width + GAP_PX) * len(pictures), height), clear)
    for index, one in enumerate(pictures):
        film.paste(one.convert(alpha), (index * (width + GAP_PX), 0))
    return film


def _class_costs(run: Run, queries: Sequence[Sequence[int]]) -> tuple[ClassCost, ...]:
    """Mean over the seeds; a list that is shorter than another counts with zeros."""
    length = max(map(len, queries))
    sums = [sum(sum(one[index : index + 1]) for one in queries) for index in range(length)]
    total, most = max(1, sum(sums)), max([1, *sums])
    return tuple(
        ClassCost(run.class_name(index), rows / len(queries), rows / total, rows / most)
        for index, rows in enumerate(sums)
    )
