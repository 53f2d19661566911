"""Queries, generations and outcomes of an attack's searches, with images of the first few."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from clonecost.query_synthesis.evolution import SearchStatus
from clonecost.result import Search


class Frame(NamedTuple):
    """The fittest image of one target after one generation."""

    image: Tensor
    probability: float  # of the target's class
    label: int  # the target's class


class SearchLog:
    """Counts the queries and outcomes of searches, and keeps the frames of the first targets.

    Args:
        num_classes: K.
        shown: number of targets whose frames are kept; by default 2 K, at most 20.
    """

    def __init__(self, num_classes: int, shown: int | None = None) -> None:
        self._shown = min(2 * num_classes, 20) if shown is None else shown
        self._rows = torch.zeros(num_classes, dtype=torch.int64)
        self._targets = self._reached = self._generations = 0
        self._frames: dict[tuple[int, int], Frame] = {}  # by target and generation

    def add_queries(self, classes: Tensor) -> None:
        """Count n queries, given the class of each row's target, (n,) int64."""
        self._rows += classes.bincount(minlength=len(self._rows)).cpu()

    def add_generation(self, status: SearchStatus) -> None:
        """Count a finished generation; the status has uint8 images, 0..255."""
        done = status.finished
        self._targets += int(done.sum())
        self._reached += int((done & status.reached).sum())
        self._generations += int(status.generations[done].sum())
        is_shown = status.numbers < self._shown
        if not is_shown.any():
            return
        shown = status.where(is_shown)
        probabilities = shown.answers.gather(1, shown.classes[:, None])[:, 0].tolist()
        frames = zip(shown.images.cpu(), probabilities, shown.classes.tolist(), strict=True)
        keys = zip(shown.numbers.tolist(), shown.generations.tolist(), strict=True)
        self._frames.update(zip(keys, map(Frame._make, frames), strict=True))

    def state_dict(self) -> dict[str, Any]:
        counts = self._targets, self._reached, self._generations
        frames = {at: tuple(frame) for at, frame in self._frames.items()}
        return {"rows": self._rows, "counts": counts, "frames": frames}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._rows = state["rows"]
        self._targets, self._reached, self._generations = state["counts"]
        self._frames = {at: Frame._make(frame) for at, frame in state["frames"].items()}

    def summary(self, *, used: int) -> Search:
        """The counts; `used` is the number of rows that train the student."""
        spent = int(self._rows.sum())
        return Search(
            targets=self._targets,
            reached=self._reached,
            queries_per_class=self._rows.tolist(),
            used_rows=used,
            wasted=1 - used / max(1, spent),
            generations=self._generations / max(1, self._targets),
        )

    def pictures(self) -> dict[str, Tensor]:
        """The fittest image so far by target and generation; {} before the first generation ends.

        `images` (T, G, C, H, W) uint8, black once the search has stopped; `probability` (T, G)
        float32 of the target's class, NaN afterwards; `targets` (T,) int64 classes.
        """
        if not self._frames:
            return {}
        numbers, generations = (sorted(set(axis)) for axis in zip(*self._frames, strict=True))
        grid = (len(numbers), generations[-1])
        first = next(iter(self._frames.values()))
        images = torch.zeros(*grid, *first.image.shape, dtype=torch.uint8)
        probability = torch.full(grid, torch.nan)
        classes = torch.zeros(len(numbers), dtype=torch.int64)
        for (number, generation), frame in self._frames.items():
            at = numbers.index(number), generation - 1
            images[at], probability[at] = frame.image, frame.probability
            classes[at[0]] = frame.label
        return {"images": images, "probability": probability, "targets": classes}
