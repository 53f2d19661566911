"""Tramèr et al.: walks a decision tree from its root, with rows that leave features out.

Tramèr, Zhang, Juels, Reiter, Ristenpart, USENIX Security 2016, https://arxiv.org/abs/1609.02943,
§4.2, top-down. A row with missing values is answered by the node that needs one of them, so every
node, not only a leaf, has an id:

    Q = {the row without any value}
    while Q:  pop x;  id = answer(x)
        set again    if another value of a feature that is set, within the box of x, has another id,
                     a split on the feature lies below: cut there
        set in turn  the node splits on the first feature that changes the id; the ids along it
                     (bisected to a step of eps; all values of a category) are its children
        neither      x is a leaf
        Q += one row for each part

All nodes of Q are walked together: a batch has a row for each of them.

Differs from the paper: see docs/attacks/tramer_tree_top_down.md.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from clonecost.attacks._delivered import check_delivery, unfinished
from clonecost.attacks._stages import QuerySteps
from clonecost.attacks._tree_paths import MISSING, Boxes, TreeGrid, moved
from clonecost.attacks.base import AttackerKit, Clone, Declaration, at_least
from clonecost.errors import SetKey, SpecError
from clonecost.oracle import Oracle
from clonecost.types import ThreatModel

BoxSteps = Generator[Clone, None, Boxes]
NONE = -1  # no feature
INSTEAD = (
    "The victim may be no single decision tree, or may answer a row with missing values otherwise "
    "than with a node, for which tramer_tree fits. tramer_lr solves for a linear model, tramer_mlp "
    "for a neural network; tramer_adaptive_retrain trains a model of any kind"
)


@dataclass(frozen=True, kw_only=True)
class TramerTreeTopDown:
    """Recovers a decision tree top-down, with rows that leave features out.

    Example:
        >>> TramerTreeTopDown(epsilon=1e-5)
    """

    epsilon: float = 1e-3  # precision of thresholds, as a share of a feature's range
    checks: int = 100  # further rows on which the clone is checked; 0: none

    declares: ClassVar = Declaration(needs="probs", takes="table", by_settings=("unfit",))

    def __post_init__(self) -> None:
        at_least(1e-7, self, "epsilon")
        at_least(0, self, "checks")

    def unfit(self, threat: ThreatModel) -> SpecError | None:
        """The error that refuses an API which needs a value of every feature."""
        if threat.incomplete:
            return None
        return SpecError(
            "tramer_tree_top_down queries rows with missing values (NaN), which this threat model "
            "excludes",
            SetKey("incomplete", True), SetKey("attack", "tramer_tree"),
        )  # fmt: skip

    def plan(self, budget: int) -> str:
        return (
            f"walks from the root, with features left out, until every node is a leaf: at most "
            f"{budget:,} rows; finds thresholds to {self.epsilon:g} of a range"
        )

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[Clone]:
        unfinished(kit, INSTEAD)
        walk = _Walk(oracle, kit, round(1 / self.epsilon))
        while len(walk.nodes):
            yield from walk.step()
            kit.progress("leaves found", len(walk.leaves), len(walk.leaves) + len(walk.nodes))
        yield from check_delivery(oracle, kit, walk.clone(), checks=self.checks, instead=INSTEAD)


class _Walk:
    """The leaves found so far and the nodes not yet examined, which cover the whole space."""

    def __init__(self, oracle: Oracle, kit: AttackerKit, steps: int) -> None:
        self.grid = TreeGrid(oracle, kit, steps, self.clone)
        width = len(self.grid.most)
        self.nodes = self.grid.everywhere(torch.full((1, width), MISSING))
        self.leaves = self.grid.everywhere(torch.empty(0, width, dtype=torch.int64))

    def clone(self) -> nn.Module:
        """The rules of leaves and nodes; a node stands for its subtree, a new one is left out."""
        both = Boxes.joined([self.leaves, self.nodes])
        ids = [self.grid.known.get(point.tobytes(), NONE) for point in both.points.numpy()]
        asked = torch.tensor(ids) != NONE
        return self.grid.rules(torch.tensor(ids)[asked], both.take(asked))

    def step(self) -> Generator[Clone, None, None]:
        """Examine every node once: it becomes a leaf, or its parts replace it."""
        nodes = self.nodes
        ids = yield from self.grid.ids(nodes.points)
        split = torch.full((len(nodes),), NONE)
        for again in (True, False):
            for feature in range(nodes.points.shape[1]):
                pending = (split == NONE) & ((nodes.points[:, feature] != MISSING) == again)
                rows = pending.nonzero()[:, 0]
                changed = yield from self._changed(nodes.take(rows), ids[rows], feature)
                split[rows[changed]] = feature
        parts = [self.grid.everywhere(nodes.points[:0])]
        for feature in split[split != NONE].unique().tolist():
            parts.append((yield from self._parts(nodes.take(split == feature), feature)))
        self.leaves = Boxes.joined([self.leaves, nodes.take(split == NONE)])
        self.nodes = Boxes.joined(parts)

    def _changed(self, nodes: Boxes, ids: Tensor, feature: int) -> QuerySteps:
        """(n,) bool: whether another value of a feature, or any if none is set, changes the id."""
        own = nodes.points[:, feature]
        first, last = self._reach(nodes, feature)
        if len(own) and own[0] == MISSING:
            places = first[:, None]
        elif self.grid.category[feature]:
            every = torch.arange(int(self.grid.most[feature]) + 1)
            places = torch.where(nodes.allowed[:, feature, : len(every)], every, own[:, None])
        else:
            places = torch.stack([first, last], 1)
        line = nodes.points.repeat_interleave(places.shape[1], 0)
        moved_ids = yield from self.grid.ids(moved(line, torch.tensor(feature), places.flatten()))
        return (moved_ids.view_as(places) != ids[:, None]).any(1)

    def _parts(self, nodes: Boxes, feature: int) -> BoxSteps:
        """The parts of each node's box, cut where the id changes along a feature."""
        if self.grid.category[feature]:
            return (yield from self._groups(nodes, feature))
        first, last = self._reach(nodes, feature)
        own = nodes.points[:, feature].maximum(first)  # the first step if no value is set
        # to both sides of the node's own value, since both ends may have one id and it another
        twice, number = nodes.points.repeat(2, 1), torch.full((2 * len(nodes),), feature)
        a, b = torch.cat([first, own]), torch.cat([own, last])
        line, below = (yield from self.grid.cuts(twice, number, a, b)).unbind(1)
        line = line % len(nodes)
        # parts of a line begin at its first step and after each cut, and end likewise
        lines = torch.cat([torch.arange(len(nodes)), line])
        begin, end = torch.cat([first, below + 1]), torch.cat([last, below])
        beyond = int(self.grid.most[feature]) + 1
        of_begin, of_end = ((lines * beyond + at).argsort() for at in (begin, end))
        parts = nodes.take(lines[of_begin])
        at, to = begin[of_begin], end[of_end]
        parts.points[:, feature] = at
        inner = at > first[lines[of_begin]]
        parts.low[inner, feature] = at[inner].double() - 0.5
        inner = to < last[lines[of_end]]
        parts.high[inner, feature] = to[inner].double() + 0.5
        return parts

    def _groups(self, nodes: Boxes, feature: int) -> BoxSteps:
        """The parts of each node's box along a category: values with one id form a part."""
        of_each = yield from self.grid.every_category(nodes.points, feature)
        count = of_each.shape[1]
        same = of_each[:, :, None] == of_each[:, None]  # (n, k, k)
        allowed = nodes.allowed[:, feature, :count]
        first = (same & allowed[:, None]).int().argmax(2) == torch.arange(count)  # of its group
        row, place = (first & allowed).nonzero(as_tuple=True)
        parts = nodes.take(row)
        parts.points[:, feature] = place
        parts.allowed[:, feature, :count] &= same[row, place]
        return parts

    def _reach(self, nodes: Boxes, feature: int) -> tuple[Tensor, Tensor]:
        """The least and the largest step of a feature in each box, (n,) each."""
        first = nodes.low[:, feature].ceil().clamp_min(0).long()
        last = nodes.high[:, feature].floor().clamp_max(int(self.grid.most[feature])).long()
        return first, last
