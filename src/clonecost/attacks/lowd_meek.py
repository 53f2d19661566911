"""Lowd and Meek: recovers a linear classifier of two classes from labels, by bisection.

Lowd, Meek, KDD 2005; as in Tramèr et al., USENIX Security 2016,
https://arxiv.org/abs/1609.02943, §6.2. With labels f(x) = [w x + b > 0] on a box X:

    1. draw x until both labels were seen: x-, x+
    2. change x- into x+ one feature at a time; the pair between which the label changes, the *sign
       witness*, differs in one feature f only and gives the sign of w_f; as the scale is free,
       w_f = +-1
    3. bisect the pair along f: a point z with w z + b = 0 up to a step of eps
    4. for all other features i at once: move z by t along i, where t is halved until a move u along
       f within the range compensates it; bisect u:  w_f u + w_i t = 0, so w_i = -w_f u / t
    b = -w z

Differs from the paper: see docs/attacks/lowd_meek.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from clonecost.attacks._delivered import check_delivery, unfinished
from clonecost.attacks._stages import QuerySteps, query
from clonecost.attacks.base import (
    AttackerKit,
    Clone,
    Declaration,
    DeferredClone,
    at_least,
    table_of,
)
from clonecost.errors import ChooseFrom, SpecError
from clonecost.oracle import Oracle
from clonecost.tabular.features import Extraction, bounds, uniform_rows
from clonecost.tabular.models import LinearModel, SameAnswer
from clonecost.types import Feature, ThreatModel

INSTEAD = "The victim may be no linear model; tramer_adaptive_retrain trains one of any kind"


@dataclass(frozen=True, kw_only=True)
class LowdMeek:
    """Bisects along every feature from a point on the boundary to find the weights.

    Example:
        >>> LowdMeek(epsilon=1e-4)
    """

    epsilon: float = 1e-5  # precision of a bisection, as a share of a feature's range
    batch_size: int = 64  # rows drawn at a time until both labels have occurred
    # halvings of t at most: 20 suffice for weights up to 2^20 times the witness's
    halvings: int = 20
    checks: int = 100  # further rows on which the clone is checked; 0: none

    declares: ClassVar = Declaration(needs="label", takes="table", by_settings=("unfit",))

    def __post_init__(self) -> None:
        at_least(1e-7, self, "epsilon")  # smaller steps vanish in float32
        at_least(1, self, "batch_size", "halvings")
        at_least(0, self, "checks")

    def plan(self, budget: int) -> str:
        return (
            f"bisects every feature to {self.epsilon:g} of its range, all in the same batches, and "
            f"computes the weights; at most {budget:,} rows"
        )

    def unfit(self, threat: ThreatModel) -> SpecError | None:
        """The error that refuses a victim of other than two classes, or with categories."""
        if threat.num_classes != 2:
            return SpecError(
                "lowd_meek recovers one hyperplane between two classes",
                ChooseFrom("attacks"), got=f"{threat.num_classes} classes", want="2 classes",
            )  # fmt: skip
        categories = [feature.name for feature in threat.features or () if feature.categories]
        if not categories:
            return None
        return SpecError(
            f"lowd_meek bisects numbers, and the feature {categories[0]!r} is a category",
            ChooseFrom("attacks"),
        )

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[Clone]:
        unfinished(kit, INSTEAD)
        plane = _Plane(oracle, kit, table_of(oracle.threat))
        minus, plus = yield from self._both_labels(plane)
        d = len(minus)
        # x- with the first 1, 2, ... d - 1 features of x+
        between = torch.where(torch.ones(d, d).tril(-1).bool()[1:], plus, minus)
        labels = yield from plane.labels(between)
        turns = torch.cat([torch.tensor([0]), labels, torch.tensor([1])]).diff()
        f = int((turns > 0).nonzero()[0])  # the feature whose change made it positive
        pair = torch.cat([minus[None], between, plus[None]])[f : f + 2]

        low, high = pair[:, f].sort().values
        plane.begin(pair[0], f, rises=bool(pair[1, f] > pair[0, f]), low=low, high=high)
        yield from plane.bisect(self.epsilon)
        yield from plane.spread(self.halvings)
        yield from plane.bisect(self.epsilon)
        yield from check_delivery(oracle, kit, plane.clone(), checks=self.checks, instead=INSTEAD)

    def _both_labels(self, plane: "_Plane") -> QuerySteps:
        """(2, d) a row of class 0 and one of class 1."""
        drawn, labels = torch.empty(0), torch.empty(0)
        while True:
            rows = plane.extract(uniform_rows(plane.features, self.batch_size, plane.kit.rng).cpu())
            new_labels = yield from plane.labels(rows)
            drawn, labels = torch.cat([drawn, rows]), torch.cat([labels, new_labels])
            if len(labels.unique()) == 2:
                return torch.stack([drawn[labels == 0][0], drawn[labels == 1][0]])


class _Plane:
    """The hyperplane as far as it is known; points are float64 in [-1, 1]^d, after extraction."""

    def __init__(self, oracle: Oracle, kit: AttackerKit, features: tuple[Feature, ...]) -> None:
        self.oracle, self.kit, self.features = oracle, kit, features
        self.extract = Extraction(features)
        self.least, self.greatest = bounds(features)
        self.seen = torch.zeros(2)  # number of rows of each label
        # lines along feature f, (l, d), and the interval of each in which the label changes
        self.lines = self.low = self.high = torch.empty(0)
        self.f, self.rises, self.moved = 0, True, torch.empty(0)

    def labels(self, points: Tensor) -> QuerySteps:
        """Query `points`, (n, d): returns their labels, (n,) int64."""
        rows = (self.extract.middle + points * self.extract.reach).float()
        rows = rows.maximum(self.least).minimum(self.greatest).to(self.kit.device)
        answers = yield from query(self.oracle, rows, DeferredClone(lambda *_: self.clone()))
        labels = answers.argmax(1).cpu()
        self.seen += labels.bincount(minlength=2)
        return labels

    def begin(self, point: Tensor, f: int, *, rises: bool, low: Tensor, high: Tensor) -> None:
        """Set the line of the sign witness; `rises`: class 1 has the larger values of feature f."""
        self.lines, self.low, self.high = point[None].clone(), low[None], high[None]
        self.f, self.rises, self.moved = f, rises, torch.zeros(1, dtype=torch.float64)

    def bisect(self, epsilon: float) -> QuerySteps:
        """Halve all intervals until none is wider than epsilon of the range; returns low, (l,)."""
        while bool((wide := self.high - self.low > 2 * epsilon).any()):
            middle = (self.low + self.high) / 2
            points = self.lines[wide].clone()
            points[:, self.f] = middle[wide]
            labels = yield from self.labels(points)
            above = torch.zeros_like(wide)
            above[wide] = (labels == 0) == self.rises  # the label changes above the middle
            self.low = torch.where(wide & above, middle, self.low)
            self.high = torch.where(wide & ~above, middle, self.high)
        return self.low

    def spread(self, halvings: int) -> QuerySteps:
        """Add a line for every other feature i, through z on the boundary moved by t along i.

        Returns t, (d - 1,).
        """
        z = self.lines[0].clone()
        z[self.f] = (self.low[0] + self.high[0]) / 2
        d = len(z)
        others = torch.tensor([i for i in range(d) if i != self.f])
        t = -torch.where(z >= 0, 1.0, -1.0)[others] - z[others]  # to the farther end of its range
        open_ = torch.ones(d - 1, dtype=torch.bool)
        lines = z.repeat(d - 1, 1)
        for _ in range(halvings):
            lines[torch.arange(d - 1), others] = z[others] + t
            ends = lines[open_].repeat(2, 1)
            ends[:, self.f] = torch.tensor([-1.0, 1.0]).repeat_interleave(int(open_.sum()))
            first, last = (yield from self.labels(ends)).view(2, -1)
            open_[open_.nonzero()[:, 0][first != last]] = False
            if not open_.any():
                break
            t = torch.where(open_, t / 2, t)
        self.lines = torch.cat([z[None], lines])
        self.low = torch.cat([z[self.f][None], -torch.ones(d - 1)])
        self.high = torch.cat([z[self.f][None], torch.ones(d - 1)])
        self.moved = torch.cat([torch.zeros(1), t])
        self.others = others
        return t

    @torch.no_grad()
    def clone(self) -> nn.Module:
        """The current hyperplane; before the first line, a constant with the labels' shares."""
        if not len(self.lines):
            return SameAnswer((self.seen + 1) / (self.seen + 1).sum()).to(self.kit.device)
        at = (self.low + self.high) / 2
        sign = 1.0 if self.rises else -1.0
        w = torch.zeros(self.lines.shape[1], dtype=torch.float64)
        w[self.f] = sign
        if len(at) > 1:  # w_f u + w_i t = 0
            w[self.others] = -sign * (at[1:] - at[0]) / self.moved[1:]
        z = self.lines[0].clone()
        z[self.f] = at[0]
        model = LinearModel(self.features, 2)
        model.linear.weight.copy_(torch.stack([torch.zeros_like(w), w]))
        model.linear.bias.copy_(torch.stack([torch.zeros(()).double(), -(w @ z)]))
        return model.to(self.kit.device)
