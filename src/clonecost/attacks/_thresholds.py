"""Search for the thresholds of a table's model whose answers are constant in pieces.

A point is (d,) int64, the steps of each number above the range's least value, the index of a
category, or `MISSING`. A threshold lies between a step and the next. It is found on a path between
two points whose answers differ: the path moves one feature after the other, and is bisected, both
halves where they differ, until it is one step long. All paths are bisected at once.
"""

from collections.abc import Generator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from clonecost.attacks._stages import Bought
from clonecost.attacks.base import AttackerKit, Clone, table_of
from clonecost.tabular.features import bounds, is_category
from clonecost.types import Feature

MISSING = -1
SAME = {torch.float64: 1e-9, torch.float32: 1e-5}  # relative change of an answer that is rounding
NOTHING = {torch.float64: 1e-15, torch.float32: 1e-8}
Steps = Generator[Clone, None, None]
AnswerSteps = Generator[Clone, None, Tensor]


@dataclass
class Paths:
    """p paths: the ends (p, d), and the order (p, d) in which the features move.

    A place on a path is the number of steps that it is away from the start.
    """

    start: Tensor
    end: Tensor
    order: Tensor

    @property
    def length(self) -> Tensor:
        """(p,) steps of each path."""
        return (self.end - self.start).abs().sum(1)

    def take(self, index: Tensor) -> "Paths":
        return Paths(self.start[index], self.end[index], self.order[index])

    def points(self, places: Tensor) -> Tensor:
        """The point at each path's place, (p,): (p, d)."""
        lengths = (self.end - self.start).abs().gather(1, self.order)
        before = lengths.cumsum(1) - lengths
        moved = torch.minimum((places[:, None] - before).clamp_min(0), lengths)
        of_feature = torch.zeros_like(moved).scatter_(1, self.order, moved)
        return self.start + of_feature * (self.end - self.start).sign()

    def thresholds(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """The feature that moves from each place to the next, (p,), and the lower of its steps."""
        here, there = self.points(places), self.points(places + 1)
        feature = (here != there).int().argmax(1)
        both = torch.stack([here, there]).gather(2, feature.expand(2, -1)[..., None])[..., 0]
        return feature, both.amin(0)


@dataclass
class Harvest:
    """The thresholds that were found, and a log of them by the rows bought until then."""

    bought: Bought
    kit: AttackerKit
    steps: int  # in the range of a number
    limit: int  # rows that may be spent in all while thresholds are sought
    low: Tensor = field(init=False)
    most: Tensor = field(init=False)  # (d,) the last step, or the last category
    cuts: list[Tensor] = field(init=False)  # d sorted (e,) steps after which the answer changes
    log: list[tuple[int, list[Tensor]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        features = self.features
        low, high = (bound.double() for bound in bounds(features))
        self.low = low
        self.category = is_category(features)
        self.most = torch.where(self.category, high.long(), self.steps)
        self.step = (high - low) / self.most
        self.cuts = [torch.empty(0, dtype=torch.int64) for _ in features]
        self.note(torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64))

    @property
    def features(self) -> tuple[Feature, ...]:
        return table_of(self.bought.oracle.threat)

    @property
    def counts(self) -> Tensor:
        """(d,) bins of each number, categories of each other feature."""
        cuts = torch.tensor([len(one) for one in self.cuts])
        return torch.where(self.category, self.most, cuts) + 1

    @property
    def over(self) -> bool:
        """Whether the rows for the search are spent."""
        return self.bought.oracle.spent >= self.limit

    def edges_at(self, rows: int) -> list[Tensor]:
        """The d sorted thresholds, float64, that were known when `rows` rows were bought."""
        cuts = next(found for at, found in reversed(self.log) if at <= rows)
        return [
            low + (one.double() + 0.5) * step
            for low, step, one in zip(self.low, self.step, cuts, strict=True)
        ]

    def even_edges(self, bins: int) -> list[Tensor]:
        """The d thresholds that cut each number into `bins` equal parts, float64."""
        share = torch.linspace(0, self.steps, bins + 1, dtype=torch.float64)[1:-1]
        return [
            share[:0] if category else low + share * step
            for low, step, category in zip(self.low, self.step, self.category, strict=True)
        ]

    def note(self, feature: Tensor, step: Tensor, *, keep: bool = True) -> int:
        """Add the thresholds, (t,) each; `keep=False`: to the log only. How many were unknown."""
        cuts = list(self.cuts)
        new = 0
        for k in feature.unique().tolist():
            cuts[k] = torch.cat([cuts[k], step[feature == k]]).unique()
            new += len(cuts[k]) - len(self.cuts[k])
        if keep:
            self.cuts = cuts
        self.log.append((len(self.bought.rows), cuts))
        return new

    def ask(self, points: Tensor) -> AnswerSteps:
        """The answers, (n, K), to the points, (n, d)."""
        return (yield from self.bought.buy(self.rows_of(points))).cpu()

    def rows_of(self, points: Tensor) -> Tensor:
        """The rows, (n, d), at the points, (n, d)."""
        rows = torch.where(points == MISSING, torch.nan, self.low + points * self.step)
        return rows.float().to(self.kit.device)

    def bisect(
        self, paths: Paths, a: Tensor, b: Tensor, of_a: Tensor, of_b: Tensor
    ) -> Generator[Clone, None, int]:
        """Find the thresholds between the places a and b, (p,), whose answers are given, (p, K).

        Returns the number of those that were unknown.
        """
        found: list[Tensor] = [torch.empty(2, 0, dtype=torch.int64)]
        while True:
            split = differ(of_a, of_b)
            done = split & (b - a == 1)
            if done.any():
                found.append(torch.stack(paths.take(done).thresholds(a[done])))
            go = split & ~done
            paths = paths.take(go)
            a, b, of_a, of_b = (one[go] for one in (a, b, of_a, of_b))
            if not len(a) or self.over:
                break
            middle = (a + b) // 2
            between = yield from self.ask(paths.points(middle))
            twice = torch.arange(len(a)).repeat(2)
            paths = paths.take(twice)
            a, b = torch.cat([a, middle]), torch.cat([middle, b])
            of_a, of_b = torch.cat([of_a, between]), torch.cat([between, of_b])
            # a milestone's clone cuts an open interval in its middle
            at = torch.stack(paths.thresholds((a + b - 1) // 2))[:, differ(of_a, of_b)]
            self.note(*torch.cat([*found, at], 1), keep=False)
        if len(a):  # the rows are spent: as near as it got
            found.append(torch.stack(paths.thresholds((a + b - 1) // 2)))
        return self.note(*torch.cat(found, 1))

    def along_lines(self, point: Tensor, places: int) -> Steps:
        """Bisect the line through a point, (d,), along each number, between `places` places."""
        numbers = (~self.category).nonzero()[:, 0]
        lines = _lines(point, numbers, self.most)
        grid = torch.linspace(0, self.steps, places).round().long().unique()
        line = torch.arange(len(numbers)).repeat_interleave(len(grid))
        answers = yield from self.ask(lines.take(line).points(grid.repeat(len(numbers))))
        answers = answers.view(len(numbers), len(grid), -1)
        between = torch.arange(len(numbers)).repeat_interleave(len(grid) - 1)
        yield from self.bisect(
            lines.take(between), grid[:-1].repeat(len(numbers)), grid[1:].repeat(len(numbers)),
            answers[:, :-1].flatten(0, 1), answers[:, 1:].flatten(0, 1),
        )  # fmt: skip

    def changes_everywhere(self, points: Tensor) -> Generator[Clone, None, bool]:
        """Whether one step of one number changes most answers to the points, (n, d)."""
        numbers = (~self.category).nonzero()[:, 0]
        feature = numbers[torch.arange(len(points)) % len(numbers)]
        row = torch.arange(len(points))
        points = points.clone()
        points[row, feature] = points[row, feature].clamp(0, self.steps - 1)
        moved = points.clone()
        moved[row, feature] += 1
        both = yield from self.ask(torch.cat([points, moved]))
        return bool(differ(*both.chunk(2)).float().mean() > 0.5)

    def cells(self, count: int, *, missing: float = 0.0) -> tuple[Tensor, Tensor]:
        """The two ends, (count, d) each, of cells drawn evenly from the bins of each feature.

        Args:
            missing: the probability of a value that is missing.
        """
        drawn = self._draw(count)
        bin_of = (drawn * self.counts).long().minimum(self.counts - 1)
        first, last = bin_of.clone(), bin_of.clone()
        for k in (~self.category).nonzero()[:, 0].tolist():
            start = torch.cat([torch.zeros(1, dtype=torch.int64), self.cuts[k] + 1])
            end = torch.cat([self.cuts[k], self.most[k : k + 1]])
            first[:, k], last[:, k] = start[bin_of[:, k]], end[bin_of[:, k]]
        if missing:
            none = self._draw(count) < missing
            first[none] = last[none] = MISSING
        return first, last

    def within(self, first: Tensor, last: Tensor) -> Tensor:
        """A point drawn in each cell."""
        share = self._draw(len(first))
        return first + (share * (last - first + 1)).long().minimum(last - first)

    def anywhere(self, count: int, missing: float = 0.0) -> Tensor:
        """(count, d) points drawn evenly from the ranges; `missing`: as for `cells`."""
        points = (self._draw(count) * (self.most + 1)).long().minimum(self.most)
        if missing:
            points[self._draw(count) < missing] = MISSING
        return points

    def probe(self, count: int, *, missing: float) -> Generator[Clone, None, tuple[float, int]]:
        """Ask two opposite corners of `count` cells, and search where they differ.

        Returns the share of the cells that hold a threshold, and how many were unknown.
        """
        first, last = self.cells(count, missing=missing)
        up = self._draw(count) < 0.5
        order = self._draw(count).argsort(1)
        paths = Paths(torch.where(up, first, last), torch.where(up, last, first), order)
        of_a, of_b = (yield from self.ask(torch.cat([paths.start, paths.end]))).chunk(2)
        share = float(differ(of_a, of_b).float().mean())
        zero = torch.zeros(count, dtype=torch.int64)
        return share, (yield from self.bisect(paths, zero, paths.length, of_a, of_b))

    def _draw(self, count: int) -> Tensor:
        rng = self.kit.rng
        return torch.rand(count, len(self.most), generator=rng, device=rng.device).cpu().double()


def differ(a: Tensor, b: Tensor) -> Tensor:
    """(n,) bool: whether two answers, (n, K) each, differ by more than rounding.

    Example:
        >>> differ(torch.tensor([[0.5, 0.5]]), torch.tensor([[0.5, 0.4999]]))
        tensor([True])
    """
    near = SAME[a.dtype] * torch.maximum(a, b) + NOTHING[a.dtype]
    return ((a - b).abs() > near).any(1)


def _lines(point: Tensor, numbers: Tensor, most: Tensor) -> Paths:
    start = point.repeat(len(numbers), 1)
    end, row = start.clone(), torch.arange(len(numbers))
    start[row, numbers], end[row, numbers] = 0, most[numbers]
    return Paths(start, end, torch.arange(len(point)).repeat(len(numbers), 1))
