"""Queries of a decision tree on a grid: the leaf of a point, and the cuts along a line.

A point is (d,) int64: for a number, its steps above the range's least value; for a category, its
index; or `MISSING`. An answer, with all its probabilities to the last bit, is the id of the node
that the point reaches. Tramèr et al., USENIX Security 2016, https://arxiv.org/abs/1609.02943, §4.2.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from clonecost.attacks._stages import QuerySteps, query
from clonecost.attacks.base import AttackerKit, Clone, DeferredClone, table_of
from clonecost.oracle import Oracle
from clonecost.tabular.features import bounds, is_category
from clonecost.tabular.models import RuleModel, SameAnswer

MISSING = -1
DRAWN, FIRST = 256, 8  # rows at most, and at first, by which many leaves are told
ALONE = 6.0  # n rows that all differ: with 95 % there are n^2 / 6 leaves or more


@dataclass(kw_only=True)
class Boxes:
    """n boxes of the table's space, with a point in each."""

    points: Tensor  # (n, d)
    low: Tensor  # (n, d) float64, in steps; ends lie halfway to the first point beyond
    high: Tensor  # as low
    allowed: Tensor  # (n, d, C) bool, which categories belong to the box

    def __len__(self) -> int:
        return len(self.points)

    def take(self, index: Tensor) -> "Boxes":
        """The boxes at `index`: (m,) int64, or (n,) bool."""
        return Boxes(
            points=self.points[index], low=self.low[index], high=self.high[index],
            allowed=self.allowed[index],
        )  # fmt: skip

    @staticmethod
    def joined(parts: "list[Boxes]") -> "Boxes":
        """All boxes of the parts, in their order."""
        names = ("points", "low", "high", "allowed")
        return Boxes(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})


@dataclass
class TreeGrid:
    """The grid, and the id of every queried point, so that no point is queried twice."""

    oracle: Oracle
    kit: AttackerKit
    steps: int  # number of steps in a range
    clone: Callable[[], nn.Module]  # makes the current clone
    answers: list[Tensor] = field(default_factory=list)  # the answer of each id, (K,)
    known: dict[bytes, int] = field(default_factory=dict)  # point -> id
    id_of: dict[bytes, int] = field(default_factory=dict)  # answer -> id

    def __post_init__(self) -> None:
        features = table_of(self.oracle.threat)
        self.low, self.high = (bound.double() for bound in bounds(features))
        self.category = is_category(features)
        self.most = torch.where(self.category, self.high.long(), self.steps)  # (d,) the last step
        self.step = (self.high - self.low) / self.most
        self.sets = int(self.most[self.category].max()) + 1 if bool(self.category.any()) else 0

    def everywhere(self, points: Tensor) -> Boxes:
        """A box without bounds around each of the points, (n, d)."""
        return Boxes(
            points=points,
            low=torch.full(points.shape, -torch.inf, dtype=torch.float64),
            high=torch.full(points.shape, torch.inf, dtype=torch.float64),
            allowed=torch.ones(*points.shape, self.sets, dtype=torch.bool),
        )

    def ids(self, points: Tensor) -> QuerySteps:
        """The ids, (n,), of the points, (n, d); only new points are queried."""
        keys = [point.tobytes() for point in points.numpy()]
        new = {key: at for at, key in enumerate(keys) if key not in self.known}  # each once
        if new:
            fresh = points[list(new.values())]
            rows = torch.where(fresh == MISSING, torch.nan, self.low + fresh * self.step)
            rows = rows.float().to(self.kit.device)
            answers = yield from query(self.oracle, rows, DeferredClone(lambda *_: self.clone()))
            for key, answer in zip(new, answers.cpu(), strict=True):
                self.known[key] = self._id(answer)
        return torch.tensor([self.known[key] for key in keys])

    def _id(self, answer: Tensor) -> int:
        number = self.id_of.setdefault(answer.numpy().tobytes(), len(self.answers))
        if number == len(self.answers):
            self.answers.append(answer)
        return number

    def too_many_leaves(self, rng: torch.Generator) -> Generator[Clone, None, int]:
        """Whether drawn rows show more leaves than the budget can follow, as boosted trees have.

        A leaf takes at least the two ends of a line along each number, and each other value of a
        category. Ends at the first two rows that share a leaf. Returns how many leaves there are
        at least; 0: the budget may do.
        """
        share = torch.rand(DRAWN, len(self.most), generator=rng, device=rng.device).cpu()
        points = (share * (self.most + 1)).long().minimum(self.most)
        rows_a_leaf = max(1, int(torch.where(self.category, self.most, 2).sum()))
        needed = int((ALONE * self.oracle.remaining / rows_a_leaf) ** 0.5) + 1
        asked = FIRST
        while asked < 2 * min(needed, DRAWN):
            ids = yield from self.ids(points[: min(asked, needed)])
            if len(ids.unique()) < len(points[: len(ids)].unique(dim=0)):
                return 0
            asked *= 2
        return int(needed**2 / ALONE) if needed <= DRAWN else 0

    def cuts(self, points: Tensor, number: Tensor, a: Tensor, b: Tensor) -> QuerySteps:
        """Bisect lines along a number from step a to step b, both halves where ids differ.

        Args:
            points: (n, d), a point of each line.
            number: (n,) index of the feature along which each line runs.
            a: (n,) first steps.
            b: (n,) last steps.

        Returns (t, 2): index of the line, and the step after which the id changes.
        """
        line = torch.arange(len(points))
        of_a = yield from self.ids(moved(points, number, a))
        of_b = yield from self.ids(moved(points, number, b))
        cuts = [torch.empty(0, 2, dtype=torch.int64)]
        while len(line):
            split = of_a != of_b
            done = split & (b - a == 1)
            cuts.append(torch.stack([line, a], 1)[done])
            go = split & ~done
            kept = (t[go] for t in (points, number, line, a, b, of_a, of_b))
            points, number, line, a, b, of_a, of_b = kept
            middle = (a + b) // 2
            between = yield from self.ids(moved(points, number, middle))
            points, number, line = points.repeat(2, 1), number.repeat(2), line.repeat(2)
            a, b = torch.cat([a, middle]), torch.cat([middle, b])
            of_a, of_b = torch.cat([of_a, between]), torch.cat([between, of_b])
        return torch.cat(cuts)

    def every_category(self, points: Tensor, feature: int) -> QuerySteps:
        """The ids, (n, k), of the points, (n, d), with each of the k categories of a feature."""
        count = int(self.most[feature]) + 1
        places = torch.arange(count).repeat(len(points))
        line = moved(points.repeat_interleave(count, 0), torch.tensor(feature), places)
        return (yield from self.ids(line)).view(-1, count)

    def rules(self, ids: Tensor, boxes: Boxes) -> nn.Module:
        """The clone of the boxes with these ids, (n,); without a box, the mean of all answers."""
        if not len(boxes):
            classes = self.oracle.threat.num_classes
            seen = torch.stack(self.answers or [torch.ones(classes) / classes])
            return SameAnswer(seen.mean(0)).to(self.kit.device)
        return RuleModel(
            self.low + boxes.low * self.step, self.low + boxes.high * self.step, boxes.allowed,
            self.category, torch.stack(self.answers)[ids],
        ).to(self.kit.device)  # fmt: skip


def moved(points: Tensor, feature: Tensor, place: Tensor) -> Tensor:
    """A copy of the points, (n, d), with the value `place`, (n,), in `feature`, (n,) or ()."""
    copy = points.clone()
    copy[torch.arange(len(points)), feature] = place
    return copy
