"""Statistics of an attack's queries and answers: counts, entropies, and a few sample rows."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from clonecost.data.text_rows import characters
from clonecost.networks.per_label import chances_of
from clonecost.result import Span, Traffic
from clonecost.training.losses import entropy
from clonecost.types import Purpose, as_bytes

SAMPLES = 32
SPANS = 16  # equal parts of the budget, each with sums of its own


class TrafficLog:
    """An observer of the oracle. Sums stay on the device; only sampled rows are copied.

    Args:
        budget: rows; the samples are spread evenly over it. If an attack's queries have several
            purposes, training rows are preferred: a sampled row of another purpose is replaced by
            the next training row.
        num_classes: K.
        multi_label: the answers are those of a multi-label model: the statistics are of its labels
            (how many answers have each, the mean binary entropy), over all rows alone.
        text: rows are texts, whose characters are counted, too.
    """

    def __init__(
        self, budget: int, num_classes: int, *, multi_label: bool = False, text: bool = False
    ) -> None:
        self._characters = 0 if text else None
        self._starts = [-(-budget * k // SPANS) for k in range(SPANS + 1)]  # the last one ends it
        self._pending = sorted({budget * k // SAMPLES for k in range(SAMPLES)})
        self._several = multi_label
        self._classes = num_classes // 2 if multi_label else num_classes
        self._rows = [0] * SPANS
        self._purposes: Counter[Purpose] = Counter()
        self._sums: list[Sums | None] = [None] * SPANS
        self._confident: Tensor | int = 0
        self._samples: list[tuple[int, Tensor, Tensor]] = []
        self._replaceable = False  # whether the last sample waits for a training row

    def __call__(self, position: int, inputs: Tensor, answers: Tensor, purpose: Purpose) -> None:
        self._purposes[purpose] += len(answers)
        if self._characters is not None:
            self._characters += characters(inputs)
        if self._several:
            answers = chances_of(answers)
            pairs = torch.stack([answers, 1 - answers], 2)
            self._confident += (pairs.amax(2) > 0.9).double().mean(1).sum()
            tops, entropies = answers > 0.5, entropy(pairs.flatten(0, 1)).double()
            entropies = entropies.view(len(answers), -1).mean(1)
        else:
            self._confident += (answers.amax(1) > 0.9).sum()
            tops, entropies = answers.argmax(1), entropy(answers).double()
        for span, part in self._cut(position, len(answers)):
            sums = self._sums[span] or Sums.empty(self._classes, answers.device)
            sums.add(tops[part], entropies[part])
            self._sums[span] = sums
            self._rows[span] += part.stop - part.start
        self._sample(position, inputs, answers, training=purpose == "training")

    def _cut(self, position: int, count: int) -> Iterator[tuple[int, slice]]:
        """The spans that a batch lies in, nearly always one, and its rows in each."""
        budget = self._starts[-1]
        for span in range(position * SPANS // budget, SPANS):
            low = max(0, self._starts[span] - position)
            high = min(count, self._starts[span + 1] - position)
            if low >= count:
                return
            if low < high:
                yield span, slice(low, high)

    def _sample(self, position: int, inputs: Tensor, answers: Tensor, *, training: bool) -> None:
        if self._replaceable and training:
            if position not in self._pending[:1]:  # else it is a sample of its own
                self._samples.pop()
                self._keep(position, inputs[0], answers[0])
            self._replaceable = False
        while self._pending and self._pending[0] < position + len(inputs):
            row = self._pending.pop(0)
            at = max(0, row - position)  # before: the row of the sample was refused
            self._keep(row, inputs[at], answers[at])
            self._replaceable = not training

    def _keep(self, row: int, image: Tensor, answer: Tensor) -> None:
        # clone: a view would keep its whole batch in memory for the rest of the run
        self._samples.append((row, image.cpu().clone(), answer.cpu().clone()))

    def state_dict(self) -> dict[str, Any]:
        """The state for a snapshot; only a run with the same budget can load it."""
        return {
            "wanted": self._pending, "rows": self._rows, "purposes": dict(self._purposes),
            "sums": [s and {"histogram": s.histogram, "entropy": s.entropy} for s in self._sums],
            "confident": self._confident, "samples": self._samples, "makeshift": self._replaceable,
            "characters": self._characters,
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._pending, self._rows = list(state["wanted"]), list(state["rows"])
        self._purposes = Counter(state["purposes"])
        self._sums = [s and Sums(s["histogram"], s["entropy"]) for s in state["sums"]]
        self._confident, self._samples = state["confident"], list(state["samples"])
        self._replaceable = state["makeshift"]
        self._characters = state["characters"]

    def summary(self) -> Traffic:
        """The statistics over all rows and over each span of the budget."""
        spans = [
            Span(
                first=start,
                rows=rows,
                class_histogram=sums.histogram.tolist(),
                mean_entropy=float(sums.entropy) / rows,
            )
            for start, rows, sums in zip(self._starts, self._rows, self._sums, strict=False)
            if sums is not None
        ]
        total = max(1, sum(self._rows))
        return Traffic(
            rows=sum(self._rows),
            class_histogram=[
                sum(span.class_histogram[k] for span in spans) for k in range(self._classes)
            ],
            mean_entropy=sum(span.rows * span.mean_entropy for span in spans) / total,
            confident=float(self._confident) / total,
            purposes=dict(self._purposes),
            characters=self._characters,
            over_time=[] if self._several else spans,
        )

    def samples(self) -> dict[str, Tensor]:
        """The sampled rows: `inputs` (n, *shape) uint8, `answers` (n, K) float32, `positions` (n,).

        Positions are int64 row numbers in the attack's stream, from 0. Empty without samples.
        """
        if not self._samples:
            return {}
        positions, inputs, answers = zip(*self._samples, strict=True)
        return {
            "inputs": as_bytes(torch.stack(inputs)).contiguous(),
            "answers": torch.stack(answers).float().contiguous(),
            "positions": torch.tensor(positions),
        }


@dataclass
class Sums:
    """Sums over the answers in one span, on their device."""

    histogram: Tensor  # (K,) int64
    entropy: Tensor  # () float64

    @classmethod
    def empty(cls, num_classes: int, device: torch.device) -> "Sums":
        return cls(
            torch.zeros(num_classes, dtype=torch.int64, device=device),
            torch.zeros((), dtype=torch.float64, device=device),
        )

    def add(self, tops: Tensor, entropies: Tensor) -> None:
        """Add a batch: `tops` (n,) predicted classes, `entropies` (n,) in nats.

        Of a multi-label model `tops` are the labels that are present, (n, L) bool.
        """
        if tops.ndim == 2:
            self.histogram += tops.sum(0)
            self.entropy += entropies.sum()
            return
        self.histogram.index_add_(0, tops, torch.ones_like(tops))  # bincount waits for the device
        self.entropy += entropies.sum()
