"""What an attack's searches cost and how the first few went: numbers and pictures of them."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from clonecost.query_synthesis.evolution import Standing
from clonecost.result import Search


class Frame(NamedTuple):
    """The fittest image of one target after one generation."""

    image: Tensor
    probability: float  # of the target's class
    label: int  # that class


class Record:
    """Is told what was bought and what came of it.

    Args:
        shown: so many targets are kept to look at.
    """

    def __init__(self, num_classes: int, shown: int | None = None) -> None:
        self._shown = min(2 * num_classes, 20) if shown is None else shown
        self._rows = torch.zeros(num_classes, dtype=torch.int64)
        self._targets = self._reached = self._generations = 0
        self._frames: dict[tuple[int, int], Frame] = {}  # by target and generation

    def bought(self, classes: Tensor) -> None:
        """So many rows were bought for these targets' classes, (n,)."""
        self._rows += classes.bincount(minlength=len(self._rows)).cpu()

    def told(self, standing: Standing) -> None:
        """A generation is over; its images are pixels 0..255, uint8."""
        done = standing.finished
        self._targets += int(done.sum())
        self._reached += int((done & standing.reached).sum())
        self._generations += int(standing.generations[done].sum())
        for_show = standing.numbers < self._shown
        if not for_show.any():
            return
        shown = standing.where(for_show)
        sure = shown.answers.gather(1, shown.classes[:, None])[:, 0].tolist()
        of = zip(shown.images.cpu(), sure, shown.classes.tolist(), strict=True)
        at = zip(shown.numbers.tolist(), shown.generations.tolist(), strict=True)
        self._frames.update(zip(at, map(Frame._make, of), strict=True))

    def state_dict(self) -> dict[str, Any]:
        counts = self._targets, self._reached, self._generations
        frames = {at: tuple(frame) for at, frame in self._frames.items()}
        return {"rows": self._rows, "counts": counts, "frames": frames}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._rows = state["rows"]
        self._targets, self._reached, self._generations = state["counts"]
        self._frames = {at: Frame._make(frame) for at, frame in state["frames"].items()}

    def summary(self, *, used: int) -> Search:
        """The numbers, when `used` rows train the student."""
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
        """The fittest image so far, by target and generation; {} before the first is over.

        `images` (T, G, C, H, W) uint8, black once the search has stopped; `probability` (T, G)
        float32 of the target's class, then NaN; `targets` (T,) int64, their classes.
        """
        if not self._frames:
            return {}
        numbers, generations = (sorted(set(of)) for of in zip(*self._frames, strict=True))
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
