"""Tramèr et al.: trains on labels of uniform rows, of boundary rows, or of rows in rounds.

Tramèr, Zhang, Juels, Reiter, Ristenpart, USENIX Security 2016, https://arxiv.org/abs/1609.02943,
§6.3. The clone is trained on the labels of m rows of X = [-1, 1]^d after feature extraction:

    uniform      x_1 ... x_m ~ U(X)
    line_search  pairs of uniform rows with different labels, bisected to a distance of 0.1; both
                 ends, on either side of the victim's boundary, and all rows between are kept
    adaptive     5 rounds of m/5. The first is uniform. Then the clone is trained on all rows so
                 far; the next round queries 3/4 rows on the *clone's* boundary, which are found
                 without queries, and 1/4 uniform rows

Differs from the paper: see docs/attacks/tramer_adaptive_retrain.md.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count as count_from
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from clonecost.attacks._stages import QuerySteps, answered_chunks
from clonecost.attacks.base import (
    AttackerKit,
    Clone,
    Declaration,
    DeferredClone,
    at_least,
    table_of,
)
from clonecost.oracle import Oracle
from clonecost.tabular.features import Extraction, corner_rows, is_category, uniform_rows
from clonecost.tabular.sklearn_students import Family, train_student
from clonecost.types import Feature

DRAWN = 256  # rows in one draw
ONE_CLASS = 20  # uniform rows of one class after which half of the rows lie towards corners


@dataclass(frozen=True, kw_only=True)
class TramerAdaptiveRetrain:
    """Trains a scikit-learn model on labels of rows that `strategy` selects.

    Example:
        >>> TramerAdaptiveRetrain(model="rbf_svm", strategy="line_search")
    """

    strategy: Literal["uniform", "line_search", "adaptive"] = "adaptive"  # selection of rows
    model: Family = "softmax"  # the clone's family, the attacker's guess of the victim's
    hidden: int = 20  # hidden tanh units of an mlp
    gamma: float = 1.0  # gamma of the kernel of an rbf_svm, after feature extraction
    penalty: float = 1e4  # C, inverse weight of the penalty; large for separable classes
    rounds: int = 5  # adaptive: rounds that the budget is divided into
    boundary: float = 0.75  # adaptive: share of a round that lies on the clone's boundary
    distance: float = 0.1  # line_search: distance of two rows at which it ends

    declares: ClassVar = Declaration(needs="label", takes="table")

    def __post_init__(self) -> None:
        at_least(1, self, "hidden", "rounds")
        at_least(0, self, "boundary")
        at_least(1e-6, self, "gamma", "penalty", "distance")

    def plan(self, budget: int) -> str:
        return f"queries {budget:,} labels ({self.strategy}) and trains a {self.model} on them"

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[Clone]:
        features = table_of(oracle.threat)
        pool = _Pool(oracle, kit, features, lambda *bought: self._train(features, *bought))
        strategies = {"uniform": _uniform, "line_search": _line_search, "adaptive": _adaptive}
        yield from strategies[self.strategy](self, pool)

    def _train(
        self, features: tuple[Feature, ...], kit: AttackerKit, rows: Tensor, answers: Tensor
    ) -> nn.Module:
        seed = int(torch.randint(2**31, (1,), generator=kit.rng, device=kit.device))
        return train_student(
            self.model, features, rows, answers.argmax(1), answers.shape[1], seed=seed,
            hidden=self.hidden, gamma=self.gamma, penalty=self.penalty,
        )  # fmt: skip


class _Pool:
    """The rows bought so far and their answers, and where the next rows are drawn."""

    def __init__(
        self, oracle: Oracle, kit: AttackerKit, features: tuple[Feature, ...],
        train: Callable[[AttackerKit, Tensor, Tensor], nn.Module],
    ) -> None:  # fmt: skip
        self.oracle, self.kit, self.features, self.train = oracle, kit, features, train
        self.rows: list[Tensor] = []
        self.answers: list[Tensor] = []
        self.clone = DeferredClone(self._clone)
        self.corners: bool | None = None  # known when ONE_CLASS uniform rows are answered

    def _clone(self, count: int, kit: AttackerKit) -> nn.Module:
        return self.train(kit, torch.cat(self.rows)[:count], torch.cat(self.answers)[:count])

    def buy(self, rows: Tensor) -> QuerySteps:
        """The answers, (n, K), to `rows`, (n, d); its BudgetError is what ends the attack."""
        for chunk, answers in answered_chunks(self.oracle, rows):
            self.rows.append(chunk)
            self.answers.append(answers)
            yield self.clone
        return torch.cat(self.answers)[-len(rows) :]

    def draw(self, count: int) -> Tensor:
        """Rows over the ranges; every other one is a corner where uniform rows miss a class."""
        rows = uniform_rows(self.features, count, self.kit.rng)
        return self._with_corners(rows) if self.corners else rows

    def buy_drawn(self, count: int) -> QuerySteps:
        """Answers, (n, K), to `count` rows of `draw`; the first ONE_CLASS settle `corners`."""
        rows = self.draw(count)
        if self.corners is None and count > ONE_CLASS:
            labels = (yield from self.buy(rows[:ONE_CLASS])).argmax(1)
            self.corners = len(labels.unique()) == 1
            rows = self._with_corners(rows[ONE_CLASS:]) if self.corners else rows[ONE_CLASS:]
        yield from self.buy(rows)
        return torch.cat(self.answers)[-count:]

    def _with_corners(self, rows: Tensor) -> Tensor:
        rows[::2] = corner_rows(self.features, len(rows[::2]), self.kit.rng)
        return rows


def _uniform(attack: TramerAdaptiveRetrain, pool: _Pool) -> Iterator[Clone]:
    while True:
        yield from pool.buy_drawn(DRAWN)


def _line_search(attack: TramerAdaptiveRetrain, pool: _Pool) -> Iterator[Clone]:
    features = pool.features
    scale = Extraction(features)
    while True:
        labels = (yield from pool.buy_drawn(DRAWN)).argmax(1)
        rows = torch.cat(pool.rows)[-DRAWN:]
        a, b = _pairs(rows, labels, pool.kit.rng)
        of_a, a, b = labels[a], rows[a], rows[b]
        while len(a):
            far = (scale(a) - scale(_between(features, a, b))).norm(dim=1) > attack.distance / 2
            a, b, of_a = a[far], b[far], of_a[far]
            if len(a):
                middle = _between(features, a, b)
                same = ((yield from pool.buy(middle)).argmax(1) == of_a)[:, None]
                a, b = torch.where(same, middle, a), torch.where(same, b, middle)


def _adaptive(attack: TramerAdaptiveRetrain, pool: _Pool) -> Iterator[Clone]:
    kit = pool.kit
    size = max(1, kit.horizon // attack.rounds)
    near = round(attack.boundary * size)
    yield from pool.buy_drawn(size)
    for number in count_from(2):
        clone = pool.train(kit.branch(-number), torch.cat(pool.rows), torch.cat(pool.answers))
        rows = _on_boundary(pool.features, clone, pool.draw(8 * size), near, kit.rng)
        yield from pool.buy(torch.cat([rows, pool.draw(size - near)]))


@torch.no_grad()
def _on_boundary(
    features: tuple[Feature, ...], clone: nn.Module, rows: Tensor, count: int, rng: torch.Generator
) -> Tensor:
    """`count` rows on the clone's boundary, then those of the smallest margin among `rows`."""
    a, b = _pairs(rows, of_a := clone(rows).argmax(1), rng)
    a, b, of_a = rows[a][:count], rows[b][:count], of_a[a][:count]
    for _ in range(20):  # to 2^-20 of the distance, without a query
        middle = _between(features, a, b)
        same = (clone(middle).argmax(1) == of_a)[:, None]
        a, b = torch.where(same, middle, a), torch.where(same, b, middle)
    margin = clone(rows).topk(2, 1).values.diff(dim=1).abs()[:, 0]
    return torch.cat([b, rows[margin.argsort()]])[:count]


def _pairs(rows: Tensor, labels: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Disjoint pairs of rows with different labels, drawn at random: two (p,) indices."""
    order = torch.randperm(len(rows), generator=rng, device=rng.device)
    a, b = order[: len(order) // 2], order[len(order) // 2 :][: len(order) // 2]
    differ = labels[a] != labels[b]
    return a[differ], b[differ]


def _between(features: tuple[Feature, ...], a: Tensor, b: Tensor) -> Tensor:
    """The midpoints of rows a and b, (n, d) each, in numbers; categories stay those of a."""
    return torch.where(is_category(features).to(a.device), a, (a + b) / 2)


PROFILES = {"boosted": TramerAdaptiveRetrain(model="boosted")}
