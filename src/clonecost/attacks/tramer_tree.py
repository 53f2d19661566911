"""Tramèr et al.: finds the paths of a decision tree whose answers identify its leaves.

Tramèr, Zhang, Juels, Reiter, Ristenpart, USENIX Security 2016, https://arxiv.org/abs/1609.02943,
§4.2, algorithm 1 (bottom-up). An answer, all its probabilities, is the id of the leaf reached:

    Q = {a random x}
    while Q:  pop x;  id = answer(x);  skip it if x is in the box of a known leaf of that id
        number i    the ids at both ends of the line x + t e_i; if they differ, bisect to a step of
                    eps: all thresholds on the line. The interval that holds x_i is the leaf's.
        category i  the ids of x with every category; the leaf has the categories with x's id
        Q += one row for each other interval and each other group of categories

The lines of all rows in Q with different ids are followed together: a round is a few large batches.

Differs from the paper: see docs/attacks/tramer_tree.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from clonecost.attacks._delivered import check_delivery, unfinished
from clonecost.attacks._stages import QuerySteps
from clonecost.attacks._tree_paths import Boxes, TreeGrid, moved
from clonecost.attacks.base import AttackerKit, Clone, Declaration, at_least
from clonecost.oracle import Oracle

PROBING = -5  # branch of the kit
INSTEAD = (
    "The victim may be no single decision tree, or its leaves may answer alike, which "
    "tramer_tree_top_down tells apart. tramer_lr solves for a linear model, tramer_mlp for a "
    "neural network; tramer_adaptive_retrain trains a model of any kind"
)

MANY = (
    "All drawn rows have answers of their own, so that the victim has about {many:,} leaves or "
    "more, and one tree of so many takes more rows than the budget has. Boosted trees and forests "
    "are like that, and threshold_harvest copies them"
)


@dataclass(frozen=True, kw_only=True)
class TramerTree:
    """Recovers a decision tree bottom-up, from leaf to leaf.

    Example:
        >>> TramerTree(epsilon=1e-5)
    """

    epsilon: float = 1e-3  # precision of thresholds, as a share of a feature's range
    checks: int = 100  # further rows on which the clone is checked; 0: none

    declares: ClassVar = Declaration(needs="probs", takes="table")

    def __post_init__(self) -> None:
        at_least(1e-7, self, "epsilon")
        at_least(0, self, "checks")

    def plan(self, budget: int) -> str:
        return (
            f"follows every feature from each new leaf: at most {budget:,} rows; finds "
            f"thresholds to {self.epsilon:g} of a range"
        )

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[Clone]:
        unfinished(kit, INSTEAD)
        leaves = _Leaves(oracle, kit, round(1 / self.epsilon))
        grid = leaves.grid
        if many := (yield from grid.too_many_leaves(kit.branch(PROBING).rng)):
            kit.remark(MANY.format(many=many))
            return
        share = torch.rand(1, len(grid.most), generator=kit.rng, device=kit.rng.device).cpu()
        queue = (share * (grid.most + 1)).long().minimum(grid.most)  # (q, d) points
        while len(queue):
            ids = yield from grid.ids(queue)
            fresh = leaves.unknown(queue, ids)
            queue, ids = queue[fresh], ids[fresh]
            # rows with the same id may be in one leaf: one is followed, the others wait
            follow = torch.zeros(len(queue), dtype=torch.bool)
            follow[np.unique(ids, return_index=True)[1]] = True
            beyond = yield from leaves.follow(queue[follow], ids[follow])
            queue = torch.cat([queue[~follow], beyond])
            kit.progress("leaves found", len(leaves.ids), len(leaves.ids) + len(queue))
        yield from check_delivery(oracle, kit, leaves.clone(), checks=self.checks, instead=INSTEAD)


class _Leaves:
    """The leaves found so far: the box and the id of each."""

    def __init__(self, oracle: Oracle, kit: AttackerKit, steps: int) -> None:
        self.grid = TreeGrid(oracle, kit, steps, self.clone)
        self.boxes = self.grid.everywhere(torch.empty(0, len(self.grid.most), dtype=torch.int64))
        self.ids = torch.empty(0, dtype=torch.int64)

    def clone(self) -> nn.Module:
        return self.grid.rules(self.ids, self.boxes)

    def unknown(self, points: Tensor, ids: Tensor) -> Tensor:
        """(n,) bool: whether a point, (n, d), is in no known leaf's box with the same id."""
        known = torch.zeros(len(points), dtype=torch.bool)
        category = self.grid.category
        for leaf, low, high, allowed in zip(
            self.ids, self.boxes.low, self.boxes.high, self.boxes.allowed, strict=True
        ):
            inside = ((points >= low) & (points <= high)).all(1) & (ids == leaf)
            known |= inside & allowed[category, points[:, category]].all(1)
        return ~known

    def follow(self, points: Tensor, ids: Tensor) -> QuerySteps:
        """Record the leaf of each point, (p, d); returns points of the other leaves met, (q, d)."""
        grid, boxes = self.grid, self.grid.everywhere(points)
        numbers = (~grid.category).nonzero()[:, 0]
        # from each point along each number, down to its least value and up to its largest
        point = torch.arange(len(points)).repeat_interleave(len(numbers)).repeat(2)
        number = numbers.repeat(2 * len(points))
        own = points[point, number]
        down = torch.arange(len(own)) < len(own) // 2
        a, b = torch.where(down, 0, own), torch.where(down, own, grid.most[number])
        line, below = (yield from grid.cuts(points[point], number, a, b)).unbind(1)
        point, number, down = point[line], number[line], down[line]
        for side, ends, nearest in (
            (down, boxes.low.numpy(), np.maximum),
            (~down, boxes.high.numpy(), np.minimum),
        ):
            place = point[side].numpy(), number[side].numpy()
            nearest.at(ends, place, below[side].numpy() + 0.5)
        beyond = [moved(points[point], number, below + (~down).long())]
        for feature in grid.category.nonzero()[:, 0].tolist():
            of_each = yield from grid.every_category(points, feature)
            count = of_each.shape[1]
            boxes.allowed[:, feature, :count] = of_each == ids[:, None]
            for row, groups in enumerate(of_each.tolist()):
                others = {group: place for place, group in enumerate(groups)}
                others.pop(int(ids[row]))
                places = torch.tensor(list(others.values()), dtype=torch.int64)
                beyond.append(
                    moved(points[row].repeat(len(places), 1), torch.tensor(feature), places)
                )
        self.boxes, self.ids = Boxes.joined([self.boxes, boxes]), torch.cat([self.ids, ids])
        return torch.cat(beyond)
