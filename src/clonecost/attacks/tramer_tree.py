"""Tramèr et al.: find the paths of a decision tree whose answers tell its leaves apart.

Tramèr, Zhang, Juels, Reiter, Ristenpart, USENIX Security 2016, https://arxiv.org/abs/1609.02943,
§4.2, algorithm 1 (bottom-up). An answer, all its probabilities, is the id of the leaf reached:

    Q = {a random x}
    while Q:  pop x;  id = answer(x);  skip it if a leaf of that id is known whose box holds x
        number i    the ids along the line x + t e_i, at both ends; where two differ, bisect down to
                    a step of eps: every threshold on it. The interval of x_i is the leaf's.
        category i  the ids of x with every category; those that share x's id are the leaf's
        Q += one row for each of the other intervals and categories' groups

Of all rows in Q with different ids the lines are followed at once: a round is a few large batches.

Differs from the paper: see docs/attacks/tramer_tree.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from clonecost.attacks._stages import Asking
from clonecost.attacks._tree_paths import Boxes, TreeGrid, moved
from clonecost.attacks.base import AttackerKit, Clone, Declaration, at_least
from clonecost.oracle import Oracle


@dataclass(frozen=True, kw_only=True)
class TramerTree:
    epsilon: float = 1e-3  # share of a feature's range to which thresholds are found

    declares: ClassVar = Declaration(needs="probs", takes="table")

    def __post_init__(self) -> None:
        at_least(1e-7, self, "epsilon")

    def plan(self, budget: int) -> str:
        return (
            f"follows every feature from each leaf that it finds, until no leaf is new: at most "
            f"{budget:,} rows; finds thresholds to {self.epsilon:g} of a range"
        )

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[Clone]:
        leaves = _Leaves(oracle, kit, round(1 / self.epsilon))
        grid = leaves.grid
        share = torch.rand(1, len(grid.most), generator=kit.rng, device=kit.rng.device).cpu()
        queue = (share * (grid.most + 1)).long().minimum(grid.most)  # (q, d) points
        while len(queue):
            ids = yield from grid.ids(queue)
            fresh = leaves.unknown(queue, ids)
            queue, ids = queue[fresh], ids[fresh]
            # of rows with the same id, which may be one leaf, one is followed and the others wait
            follow = torch.zeros(len(queue), dtype=torch.bool)
            follow[np.unique(ids, return_index=True)[1]] = True
            found = yield from leaves.follow(queue[follow], ids[follow])
            queue = torch.cat([queue[~follow], found])
            kit.progress("leaves found", len(leaves.ids), len(leaves.ids) + len(queue))
        yield leaves.clone()


class _Leaves:
    """What was found so far: the box of each leaf, and its id."""

    def __init__(self, oracle: Oracle, kit: AttackerKit, steps: int) -> None:
        self.grid = TreeGrid(oracle, kit, steps, self.clone)
        self.boxes = self.grid.everywhere(torch.empty(0, len(self.grid.most), dtype=torch.int64))
        self.ids = torch.empty(0, dtype=torch.int64)

    def clone(self) -> nn.Module:
        return self.grid.rules(self.ids, self.boxes)

    def unknown(self, points: Tensor, ids: Tensor) -> Tensor:
        """(n,) bool: in no box of a leaf with the same id."""
        found = torch.zeros(len(points), dtype=torch.bool)
        category = self.grid.category
        for leaf, low, high, allowed in zip(
            self.ids, self.boxes.low, self.boxes.high, self.boxes.allowed, strict=True
        ):
            inside = ((points >= low) & (points <= high)).all(1) & (ids == leaf)
            found |= inside & allowed[category, points[:, category]].all(1)
        return ~found

    def follow(self, points: Tensor, ids: Tensor) -> Asking:
        """Record the leaf of each point, (p, d); returns a point of all else that it met."""
        grid, found = self.grid, self.grid.everywhere(points)
        numbers = (~grid.category).nonzero()[:, 0]
        # from each point along each number, down to its least value and up to its largest
        point = torch.arange(len(points)).repeat_interleave(len(numbers)).repeat(2)
        number = numbers.repeat(2 * len(points))
        own = points[point, number]
        down = torch.arange(len(own)) < len(own) // 2
        a, b = torch.where(down, 0, own), torch.where(down, own, grid.most[number])
        line, below = (yield from grid.cuts(points[point], number, a, b)).unbind(1)
        point, number, down = point[line], number[line], down[line]
        for chosen, ends, least in (
            (down, found.low.numpy(), np.maximum),
            (~down, found.high.numpy(), np.minimum),
        ):
            place = point[chosen].numpy(), number[chosen].numpy()
            least.at(ends, place, below[chosen].numpy() + 0.5)
        beyond = [moved(points[point], number, below + (~down).long())]
        for feature in grid.category.nonzero()[:, 0].tolist():
            of_each = yield from grid.every_category(points, feature)
            count = of_each.shape[1]
            found.allowed[:, feature, :count] = of_each == ids[:, None]
            for row, groups in enumerate(of_each.tolist()):
                others = {group: place for place, group in enumerate(groups)}
                others.pop(int(ids[row]))
                places = torch.tensor(list(others.values()), dtype=torch.int64)
                beyond.append(
                    moved(points[row].repeat(len(places), 1), torch.tensor(feature), places)
                )
        self.boxes, self.ids = Boxes.joined([self.boxes, found]), torch.cat([self.ids, ids])
        return torch.cat(beyond)
