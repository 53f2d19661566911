"""Tramèr et al.: labels only, retrain on uniform rows, on rows at the boundary, or adaptively.

Tramèr, Zhang, Juels, Reiter, Ristenpart, USENIX Security 2016, https://arxiv.org/abs/1609.02943,
§6.3. The clone is trained on the labels of m rows of X = [-1, 1]^d after feature extraction:

    uniform      x_1 ... x_m ~ U(X)
    line_search  pairs of uniform rows with different labels, bisected until they are .1 apart; both
                 ends, that lie on either side of the victim's boundary, and all between are kept
    adaptive     5 rounds of m/5. The first is uniform. Then the clone is trained on all rows so
                 far, and the next round asks 3/4 about rows on the *clone's* boundary, which are
                 found without queries, and 1/4 uniform ones

Differs from the paper: see docs/attacks/tramer_adaptive_retrain.md.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from clonecost.attacks._stages import Asking, bought
from clonecost.attacks.base import (
    AttackerKit,
    Clone,
    Declaration,
    DeferredClone,
    at_least,
    table_of,
)
from clonecost.oracle import Oracle
from clonecost.tabular.features import Extraction, is_category, uniform_rows
from clonecost.tabular.sklearn_students import Family, train_student
from clonecost.types import Feature

DRAWN = 256  # uniform rows at a time


@dataclass(frozen=True, kw_only=True)
class TramerAdaptiveRetrain:
    strategy: Literal["uniform", "line_search", "adaptive"] = "adaptive"  # how rows are chosen
    model: Family = "softmax"  # kind of model that the attacker believes the victim to be
    hidden: int = 20  # hidden units, if the model is an MLP
    gamma: float = 1.0  # gamma of an RBF kernel on the scaled features
    penalty: float = 1e4  # C, inverse weight of the penalty; separable classes want a large one
    rounds: int = 5  # adaptive: rounds that the budget is divided into
    boundary: float = 0.75  # adaptive: share of a round that lies on the clone's boundary
    distance: float = 0.1  # line_search: distance at which a search between two rows ends

    declares: ClassVar = Declaration(needs="label", takes="table")

    def __post_init__(self) -> None:
        at_least(1, self, "hidden", "rounds")
        at_least(0, self, "boundary")
        at_least(1e-6, self, "gamma", "penalty", "distance")

    def plan(self, budget: int) -> str:
        return f"asks for {budget:,} labels ({self.strategy}), and trains a {self.model} on them"

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[Clone]:
        features = table_of(oracle.threat)
        pool = _Pool(oracle, kit, lambda *bought: self._train(features, *bought))
        asking = {"uniform": _uniform, "line_search": _line_search, "adaptive": _adaptive}
        yield from asking[self.strategy](self, pool, features)

    def _train(
        self, features: tuple[Feature, ...], kit: AttackerKit, rows: Tensor, answers: Tensor
    ) -> nn.Module:
        seed = int(torch.randint(2**31, (1,), generator=kit.rng, device=kit.device))
        return train_student(
            self.model, features, rows, answers.argmax(1), answers.shape[1], seed=seed,
            hidden=self.hidden, gamma=self.gamma, penalty=self.penalty,
        )  # fmt: skip


class _Pool:
    """The rows bought so far and their answers."""

    def __init__(
        self, oracle: Oracle, kit: AttackerKit,
        train: Callable[[AttackerKit, Tensor, Tensor], nn.Module],
    ) -> None:  # fmt: skip
        self.oracle, self.kit, self.train = oracle, kit, train
        self.rows: list[Tensor] = []
        self.answers: list[Tensor] = []
        self.clone = DeferredClone(self._clone)

    def _clone(self, count: int, kit: AttackerKit) -> nn.Module:
        return self.train(kit, torch.cat(self.rows)[:count], torch.cat(self.answers)[:count])

    def buy(self, rows: Tensor) -> Asking:
        """The answers, (n, K); ends with a BudgetError, and nothing else does."""
        for part, answers in bought(self.oracle, rows):
            self.rows.append(part)
            self.answers.append(answers)
            yield self.clone
        return torch.cat(self.answers)[-len(rows) :]


def _uniform(
    attack: TramerAdaptiveRetrain, pool: _Pool, features: tuple[Feature, ...]
) -> Iterator[Clone]:
    while True:
        yield from pool.buy(uniform_rows(features, DRAWN, pool.kit.rng))


def _line_search(
    attack: TramerAdaptiveRetrain, pool: _Pool, features: tuple[Feature, ...]
) -> Iterator[Clone]:
    scale = Extraction(features)
    while True:
        rows = uniform_rows(features, DRAWN, pool.kit.rng)
        labels = (yield from pool.buy(rows)).argmax(1)
        a, b = _pairs(rows, labels, pool.kit.rng)
        of_a, a, b = labels[a], rows[a], rows[b]
        while len(a):
            far = (scale(a) - scale(_between(features, a, b))).norm(dim=1) > attack.distance / 2
            a, b, of_a = a[far], b[far], of_a[far]
            if len(a):
                middle = _between(features, a, b)
                same = ((yield from pool.buy(middle)).argmax(1) == of_a)[:, None]
                a, b = torch.where(same, middle, a), torch.where(same, b, middle)


def _adaptive(
    attack: TramerAdaptiveRetrain, pool: _Pool, features: tuple[Feature, ...]
) -> Iterator[Clone]:
    kit = pool.kit
    size = max(1, kit.horizon // attack.rounds)
    near = round(attack.boundary * size)
    yield from pool.buy(uniform_rows(features, size, kit.rng))
    for turn in count(2):
        clone = pool.train(kit.branch(-turn), torch.cat(pool.rows), torch.cat(pool.answers))
        rows = _on_boundary(
            features, clone, uniform_rows(features, 8 * size, kit.rng), near, kit.rng
        )
        yield from pool.buy(torch.cat([rows, uniform_rows(features, size - near, kit.rng)]))


@torch.no_grad()
def _on_boundary(
    features: tuple[Feature, ...], clone: nn.Module, rows: Tensor, wanted: int, rng: torch.Generator
) -> Tensor:
    """`wanted` rows between two of the clone's classes, else those of the smallest margin."""
    a, b = _pairs(rows, of_a := clone(rows).argmax(1), rng)
    a, b, of_a = rows[a][:wanted], rows[b][:wanted], of_a[a][:wanted]
    for _ in range(20):  # 2^-20 of the way: free, the clone is the attacker's own
        middle = _between(features, a, b)
        same = (clone(middle).argmax(1) == of_a)[:, None]
        a, b = torch.where(same, middle, a), torch.where(same, b, middle)
    margin = clone(rows).topk(2, 1).values.diff(dim=1).abs()[:, 0]
    return torch.cat([b, rows[margin.argsort()]])[:wanted]


def _pairs(rows: Tensor, labels: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Disjoint pairs of rows with different labels, drawn at random: two (p,) indices."""
    order = torch.randperm(len(rows), generator=rng, device=rng.device)
    a, b = order[: len(order) // 2], order[len(order) // 2 :][: len(order) // 2]
    differ = labels[a] != labels[b]
    return a[differ], b[differ]


def _between(features: tuple[Feature, ...], a: Tensor, b: Tensor) -> Tensor:
    """Halfway in every number; categories are whole, and here they stay those of a."""
    return torch.where(is_category(features).to(a.device), a, (a + b) / 2)
