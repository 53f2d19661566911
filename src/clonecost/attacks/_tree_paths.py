"""Ask a decision tree about points of a grid: which leaf each is in, and where lines leave a leaf.

A point is (d,) int64: how many steps of its range a number lies above the least value, the place of
a category, or `MISSING`. An answer, all its probabilities to the last bit, is the id of the node
that was reached (Tramèr et al., USENIX Security 2016, https://arxiv.org/abs/1609.02943, §4.2).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from clonecost.attacks._stages import Asking, ask
from clonecost.attacks.base import AttackerKit, DeferredClone, table_of
from clonecost.oracle import Oracle
from clonecost.tabular.features import bounds, is_category
from clonecost.tabular.models import RuleModel, SameAnswer

MISSING = -1


@dataclass(kw_only=True)
class Boxes:
    """Parts of the table's space, with a point in each: all first dimensions are theirs."""

    points: Tensor  # (n, d)
    low: Tensor  # (n, d) float64, in steps; ends lie halfway to what was seen beyond
    high: Tensor
    allowed: Tensor  # (n, d, C) bool, of categories

    def __len__(self) -> int:
        return len(self.points)

    def take(self, index: Tensor) -> "Boxes":
        return Boxes(
            points=self.points[index], low=self.low[index], high=self.high[index],
            allowed=self.allowed[index],
        )  # fmt: skip

    @staticmethod
    def joined(parts: "list[Boxes]") -> "Boxes":
        names = ("points", "low", "high", "allowed")
        return Boxes(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})


@dataclass
class TreeGrid:
    """The grid, and the id of every point that was asked about: none is paid for twice."""

    oracle: Oracle
    kit: AttackerKit
    steps: int  # that a range is cut into
    clone: Callable[[], nn.Module]  # of what is known so far
    answers: list[Tensor] = field(default_factory=list)  # one an id, (K,)
    known: dict[bytes, int] = field(default_factory=dict)  # the id of each point
    named: dict[bytes, int] = field(default_factory=dict)  # of each answer

    def __post_init__(self) -> None:
        features = table_of(self.oracle.threat)
        self.low, self.high = (bound.double() for bound in bounds(features))
        self.category = is_category(features)
        self.most = torch.where(self.category, self.high.long(), self.steps)  # (d,) the last step
        self.step = (self.high - self.low) / self.most
        self.sets = int(self.most[self.category].max()) + 1 if bool(self.category.any()) else 0

    def everywhere(self, points: Tensor) -> Boxes:
        """(n, d) points, and about each a box without bounds."""
        return Boxes(
            points=points,
            low=torch.full(points.shape, -torch.inf, dtype=torch.float64),
            high=torch.full(points.shape, torch.inf, dtype=torch.float64),
            allowed=torch.ones(*points.shape, self.sets, dtype=torch.bool),
        )

    def ids(self, points: Tensor) -> Asking:
        """(n, d) -> (n,) the id of each; only points that are new are asked about."""
        keys = [point.tobytes() for point in points.numpy()]
        new = {key: at for at, key in enumerate(keys) if key not in self.known}  # each once
        if new:
            chosen = points[list(new.values())]
            rows = torch.where(chosen == MISSING, torch.nan, self.low + chosen * self.step)
            rows = rows.float().to(self.kit.device)
            answers = yield from ask(self.oracle, rows, DeferredClone(lambda *_: self.clone()))
            for key, answer in zip(new, answers.cpu(), strict=True):
                self.known[key] = self._id(answer)
        return torch.tensor([self.known[key] for key in keys])

    def _id(self, answer: Tensor) -> int:
        found = self.named.setdefault(answer.numpy().tobytes(), len(self.answers))
        if found == len(self.answers):
            self.answers.append(answer)
        return found

    def cuts(self, points: Tensor, number: Tensor, a: Tensor, b: Tensor) -> Asking:
        """Bisect lines of which a number runs from step a to step b, both halves where ids differ.

        Args:
            points: (n, d), one a line; `number`, `a` and `b` are (n,).

        Returns (t, 2): which line, and the step after which the id changes.
        """
        line = torch.arange(len(points))
        of_a = yield from self.ids(moved(points, number, a))
        of_b = yield from self.ids(moved(points, number, b))
        found = [torch.empty(0, 2, dtype=torch.int64)]
        while len(line):
            split = of_a != of_b
            done = split & (b - a == 1)
            found.append(torch.stack([line, a], 1)[done])
            go = split & ~done
            kept = (t[go] for t in (points, number, line, a, b, of_a, of_b))
            points, number, line, a, b, of_a, of_b = kept
            middle = (a + b) // 2
            between = yield from self.ids(moved(points, number, middle))
            points, number, line = points.repeat(2, 1), number.repeat(2), line.repeat(2)
            a, b = torch.cat([a, middle]), torch.cat([middle, b])
            of_a, of_b = torch.cat([of_a, between]), torch.cat([between, of_b])
        return torch.cat(found)

    def every_category(self, points: Tensor, feature: int) -> Asking:
        """(n, d) -> (n, k) the ids of each point with every category of a feature."""
        count = int(self.most[feature]) + 1
        places = torch.arange(count).repeat(len(points))
        line = moved(points.repeat_interleave(count, 0), torch.tensor(feature), places)
        return (yield from self.ids(line)).view(-1, count)

    def rules(self, ids: Tensor, boxes: Boxes) -> nn.Module:
        """The clone of what is known; without a box, the mean of what was answered."""
        if not len(boxes):
            classes = self.oracle.threat.num_classes
            seen = torch.stack(self.answers or [torch.ones(classes) / classes])
            return SameAnswer(seen.mean(0)).to(self.kit.device)
        return RuleModel(
            self.low + boxes.low * self.step, self.low + boxes.high * self.step, boxes.allowed,
            self.category, torch.stack(self.answers)[ids],
        ).to(self.kit.device)  # fmt: skip


def moved(points: Tensor, feature: Tensor, place: Tensor) -> Tensor:
    """(n, d) with one feature of each row put to its place, (n,)."""
    found = points.clone()
    found[torch.arange(len(points)), feature] = place
    return found
