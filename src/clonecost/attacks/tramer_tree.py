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
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from clonecost.attacks.base import AttackerKit, at_least, table_of
from clonecost.attacks.stages import Asking, ask
from clonecost.features import bounds, is_category
from clonecost.networks.table_models import RuleModel, SameAnswer
from clonecost.oracle import Oracle
from clonecost.types import AnswerKind


@dataclass(frozen=True, kw_only=True)
class TramerTree:
    epsilon: float = 1e-3  # of a feature's range: thresholds are found to this

    needs: ClassVar[AnswerKind] = "probs"
    uses_proxy: ClassVar[bool] = False
    takes: ClassVar[Literal["table"]] = "table"

    def __post_init__(self) -> None:
        at_least(1e-7, self, "epsilon")

    def plan(self, budget: int) -> str:
        return (
            f"follows every feature from each leaf that it finds, until no leaf is new: at most "
            f"{budget:,} rows; finds thresholds to {self.epsilon:g} of a range"
        )

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[nn.Module]:
        tree = _Tree(oracle, kit, steps=round(1 / self.epsilon))
        share = torch.rand(1, len(tree.most), generator=kit.rng, device=kit.rng.device).cpu()
        queue = (share * (tree.most + 1)).long().minimum(tree.most)  # (q, d) points of the grid
        while len(queue):
            ids = yield from tree.ids(queue)
            fresh = tree.unknown(queue, ids)
            queue, ids = queue[fresh], ids[fresh]
            # of rows with the same id, which may be one leaf, one is followed and the others wait
            follow = torch.zeros(len(queue), dtype=torch.bool)
            follow[np.unique(ids, return_index=True)[1]] = True
            found = yield from tree.follow(queue[follow], ids[follow])
            queue = torch.cat([queue[~follow], found])
            kit.progress("leaves found", len(tree.leaves), len(tree.leaves) + len(queue))
        yield tree.clone()


@dataclass
class _Tree:
    """What is known so far. A point is (d,) int64: steps of a number's range, or a category."""

    oracle: Oracle
    kit: AttackerKit
    steps: int  # that a range is cut into
    answers: list[Tensor] = field(default_factory=list)  # one an id, (K,)
    known: dict[bytes, int] = field(default_factory=dict)  # the id of each point asked about
    named: dict[bytes, int] = field(default_factory=dict)  # of each answer
    # (id, low, high, allowed): the box in steps, whose ends lie halfway to what was seen beyond
    leaves: list[tuple[int, Tensor, Tensor, Tensor]] = field(default_factory=list)

    def __post_init__(self) -> None:
        features = table_of(self.oracle.threat)
        self.low, high = (bound.double() for bound in bounds(features))
        self.category = is_category(features)
        self.most = torch.where(self.category, high.long(), self.steps)  # (d,) the last step
        self.step = (high - self.low) / self.most
        self.sets = int(self.most[self.category].max()) + 1 if bool(self.category.any()) else 0

    def ids(self, points: Tensor) -> Asking:
        """(n, d) -> (n,) the id of each; only points that are new are asked about."""
        keys = [point.tobytes() for point in points.numpy()]
        new = {key: at for at, key in enumerate(keys) if key not in self.known}  # each once
        if new:
            rows = (self.low + points[list(new.values())] * self.step).float().to(self.kit.device)
            answers = yield from ask(self.oracle, self.kit, rows, self.clone)
            for key, answer in zip(new, answers.cpu(), strict=True):
                self.known[key] = self._id(answer)
        return torch.tensor([self.known[key] for key in keys])

    def _id(self, answer: Tensor) -> int:
        found = self.named.setdefault(answer.numpy().tobytes(), len(self.answers))
        if found == len(self.answers):
            self.answers.append(answer)
        return found

    def unknown(self, points: Tensor, ids: Tensor) -> Tensor:
        """(n,) bool: in no box of a leaf with the same id."""
        found = torch.zeros(len(points), dtype=torch.bool)
        for leaf, low, high, allowed in self.leaves:
            inside = ((points >= low) & (points <= high)).all(1) & (ids == leaf)
            found |= inside & allowed[self.category, points[:, self.category]].all(1)
        return ~found

    def follow(self, points: Tensor, ids: Tensor) -> Asking:
        """Record the leaf of each point, (p, d); returns a point of all else that it met."""
        shape = points.shape
        low, high = np.full(shape, -np.inf), np.full(shape, np.inf)
        point, number, below = (yield from self._thresholds(points, ids)).unbind(1)
        above = below >= points[point, number]  # the threshold lies above the leaf's own value
        for chosen, ends, least in ((~above, low, np.maximum), (above, high, np.minimum)):
            place = point[chosen].numpy(), number[chosen].numpy()
            least.at(ends, place, below[chosen].numpy() + 0.5)
        beyond = [_moved(points[point], number, below + above.long())]
        allowed = torch.ones(*shape, self.sets, dtype=torch.bool)
        for feature in self.category.nonzero()[:, 0].tolist():
            count = int(self.most[feature]) + 1
            places = torch.arange(count).repeat(len(points))
            line = _moved(points.repeat_interleave(count, 0), torch.tensor(feature), places)
            found = (yield from self.ids(line)).view(-1, count)
            allowed[:, feature, :count] = found == ids[:, None]
            for leaf, groups in enumerate(found.tolist()):
                others = {group: leaf * count + at for at, group in enumerate(groups)}
                others.pop(int(ids[leaf]))
                beyond.append(line[list(others.values())])
        boxes = zip(torch.from_numpy(low), torch.from_numpy(high), allowed, strict=True)
        self.leaves += [(leaf, *box) for leaf, box in zip(ids.tolist(), boxes, strict=True)]
        return torch.cat(beyond)

    def _thresholds(self, points: Tensor, ids: Tensor) -> Asking:
        """(t, 3): which point, which number, and the step below which the id along it changes."""
        numbers = (~self.category).nonzero()[:, 0]
        point = torch.arange(len(points)).repeat_interleave(len(numbers)).repeat(2)
        number = numbers.repeat(2 * len(points))
        own = points[point, number]
        start = torch.arange(len(own)) < len(own) // 2  # below the point; else above it
        a, b = torch.where(start, 0, own), torch.where(start, own, self.most[number])
        found = [torch.empty(0, 3, dtype=torch.int64)]
        end = yield from self.ids(_moved(points[point], number, torch.where(start, a, b)))
        of_a, of_b = torch.where(start, end, ids[point]), torch.where(start, ids[point], end)
        while len(a):
            split = of_a != of_b
            done = split & (b - a == 1)
            found.append(torch.stack([point, number, a], 1)[done])
            go = split & ~done
            point, number, a, b, of_a, of_b = (t[go] for t in (point, number, a, b, of_a, of_b))
            middle = (a + b) // 2
            between = yield from self.ids(_moved(points[point], number, middle))
            point, number = point.repeat(2), number.repeat(2)
            a, b = torch.cat([a, middle]), torch.cat([middle, b])
            of_a, of_b = torch.cat([of_a, between]), torch.cat([between, of_b])
        return torch.cat(found)

    def clone(self, _: Tensor | None = None) -> nn.Module:
        """The leaves found so far; before the first one, the mean of what was answered."""
        if not self.leaves:
            classes = self.oracle.threat.num_classes
            seen = torch.stack(self.answers or [torch.ones(classes) / classes])
            return SameAnswer(seen.mean(0)).to(self.kit.device)
        ids, low, high, allowed = zip(*self.leaves, strict=True)
        return RuleModel(
            self.low + torch.stack(low) * self.step, self.low + torch.stack(high) * self.step,
            torch.stack(allowed), self.category, torch.stack([self.answers[leaf] for leaf in ids]),
        ).to(self.kit.device)  # fmt: skip


def _moved(points: Tensor, feature: Tensor, place: Tensor) -> Tensor:
    """(n, d) with one feature of each row put to its place, (n,)."""
    moved = points.clone()
    moved[torch.arange(len(points)), feature] = place
    return moved
