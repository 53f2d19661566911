"""The evolution that Frugal Ripper and Ex Nihilo share: surrogates select, the victim labels.

    1. candidates    new ones: varied images of the attack's own source;
                     children: crossings of two bought rows, the victim's classes equally often
    2. fitness       entropy of m = (S_1(x) + S_2(x)) / 2 for two surrogates S_1, S_2   no query
    3. selection     the fittest of each class of m, more in classes that lack rows
    4. y = T(x)      for the selected images, the next parents                   one query a row
    5. surrogates    some steps of min KL(y || S_i(x)) on all rows so far
    6. min over S    of mean KL(y || S(x)) over all bought rows                   from scratch

Related: active mixup (Wang et al., CVPR 2020) mixes and selects by confidence, without selection by
class and without generations. docs/attacks/frugal_ripper.md has an ablation of each part.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from clonecost.attacks.base import (
    AttackerKit,
    Clone,
    DeferredClone,
    at_least,
    at_most,
    name_of_attack,
)
from clonecost.errors import ChooseFrom, SpecError
from clonecost.networks.per_label import decisions
from clonecost.networks.pretrained import Start
from clonecost.networks.soft_vote import SoftVote
from clonecost.oracle import Oracle
from clonecost.query_synthesis.active_selection import rows_at_once
from clonecost.query_synthesis.image_mutation import children, keys_of, unseen, views
from clonecost.query_synthesis.surrogate import Surrogate
from clonecost.training.distill import Recipe, distill
from clonecost.training.losses import entropy
from clonecost.training.replay_buffer import Replay
from clonecost.types import Shape, as_bytes, as_pixels

LEAST = 0.02  # least share of a round's rows for every class


@dataclass(frozen=True, kw_only=True)
class Frugal(ABC):
    """The base of both attacks; a subclass defines in `new` where new images come from."""

    children: float = 0.6  # share of the candidates that are crossings of bought rows
    candidates: int = 6  # candidates for each queried row; 1: all candidates are queried
    # score of a candidate: entropy of the surrogates' mean, Jensen-Shannon divergence, or none
    fitness: Literal["entropy", "disagreement", "none"] = "entropy"
    balance: bool = True  # select class by class, by the surrogates' prediction
    round_size: int = 1000  # least rows queried between two trainings of the surrogates
    growth: float = 0.04  # the same as a share of the bought rows; the greater of both holds
    scout_passes: float = 12.0  # mean number of times that a surrogate is trained on a row
    scout_lr: float = 1e-3  # learning rate of the surrogates
    batch_size: int = 128  # rows of a training batch of the surrogates
    epochs: int = 40  # epochs of each scored clone
    ensemble: int = 1  # students of each scored clone; above 1 it answers with their mean

    def __post_init__(self) -> None:
        at_least(0, self, "children", "growth", "scout_passes", "scout_lr")
        at_least(1, self, "candidates", "round_size", "epochs", "ensemble")
        at_least(2, self, "batch_size")  # batch norm
        at_most(1, self, "children")

    @abstractmethod
    def new(self, count: int, shape: Shape, kit: AttackerKit) -> Tensor:
        """(count, *shape) new images in [0, 1], not rounded; varied before they are queried."""

    def clone_epochs(self, start: Start) -> int:
        return self.epochs * self.ensemble

    def search_passes(self, budget: int) -> int:
        """Both surrogates learn between the rounds."""
        *before_last, _ = self.rounds(budget)
        return sum(2 * int(self.scout_passes * size) for size in before_last)

    def rounds(self, budget: int) -> list[int]:
        """Rows selected in each; the last one does not depend on how many of it are bought."""
        found: list[int] = []
        while sum(found) < max(1, budget):
            found.append(self._round(sum(found)))
        return found

    def _round(self, bought: int) -> int:
        return max(self.round_size, int(self.growth * bought))

    def plan(self, budget: int) -> str:
        of_each = f"the {self.ensemble} students of " if self.ensemble > 1 else ""
        return (
            f"queries {budget:,} images, selected by two surrogates from "
            f"{budget * self.candidates:,}, then trains {of_each}each scored clone for "
            f"{self.epochs} epochs"
        )

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[Clone]:
        if len(oracle.threat.input_shape) != 3:
            raise SpecError(
                f"{name_of_attack(self)} does not fit the shape of the victim's inputs",
                ChooseFrom("attacks"), got=oracle.threat.input_shape, want="images (C, H, W)",
            )  # fmt: skip
        several = oracle.threat.multi_label
        selecting = replace(self, balance=False) if several else self  # a row has no one class
        surrogates = [
            Surrogate(kit.new_student(), lr=self.scout_lr, batch_size=self.batch_size, rng=kit.rng)
            for _ in range(2)
        ]
        classes, shape = oracle.threat.num_classes, oracle.threat.input_shape
        bought = Replay(oracle.threat.query_budget, shape, classes, kit.device)
        keys = torch.empty(0, dtype=torch.int64, device=kit.device)  # of the bought rows

        def clone(rows: int, kit: AttackerKit) -> nn.Module:
            return self._clone(bought.images[:rows], bought.answers[:rows], kit)

        for _ in kit.loop(lambda _: oracle.remaining > 0, surrogates=surrogates, bought=bought):
            size = self._round(len(bought))
            keys = torch.cat([keys, keys_of(bought.images[len(keys) :])])
            candidates = self._candidates(size, bought, keys, kit, several=several)
            selected = candidates[
                selecting.select(candidates, size, bought.answers, surrogates, kit)
            ]
            selected = selected[: oracle.remaining]
            bought.add(selected, oracle(as_pixels(selected)))
            yield DeferredClone(clone)
            if oracle.remaining:
                for surrogate in surrogates:
                    seen = int(self.scout_passes * size)
                    surrogate.learn(bought.images, bought.answers, seen=seen)

    def _candidates(
        self, size: int, bought: Replay, asked: Tensor, kit: AttackerKit, *, several: bool
    ) -> Tensor:
        """(candidates * size, C, H, W) uint8, at first twice `size` at most.

        They are rounded here, so that sent and kept rows agree.
        """
        images, answers = bought.images, bought.answers
        # the first rows are selected by chance: so few more are made that none is asked twice
        count = size * (self.candidates if len(images) else min(2, self.candidates))
        descended = int(self.children * count) if len(images) else 0
        shape = tuple(images.shape[1:])
        made: list[Tensor] = []
        for n in _chunks(count - descended, shape):
            fresh = self.new(n, shape, kit)
            made.append(as_bytes(views(fresh, fresh.roll(1, 0), kit.rng)))
        # outlines of the newest pictures cut the children: none are made for that alone
        newest = made[-1] if made else as_bytes(self.new(_chunks(count, shape)[0], shape, kit))
        weights = rarity(answers, several=several)
        for n in _chunks(descended, shape):
            first, second = (
                as_pixels(images[torch.multinomial(weights, n, True, generator=kit.rng)])
                for _ in range(2)
            )
            cut = torch.randint(len(newest), (n,), generator=kit.rng, device=kit.device)
            made.append(as_bytes(children(first, second, as_pixels(newest[cut]), kit.rng)))
        candidates = torch.cat(made)
        fresh = candidates[unseen(keys_of(candidates), asked)]  # no row is paid for twice
        return fresh if len(fresh) >= size else candidates

    def select(
        self, candidates: Tensor, size: int, answers: Tensor, surrogates: "list[Surrogate]",
        kit: AttackerKit,
    ) -> Tensor:  # fmt: skip
        """(size,) indices of the candidates to query, in random order."""
        shuffled = torch.randperm(len(candidates), generator=kit.rng, device=kit.device)
        if not len(answers) or self.candidates == 1:
            return shuffled[:size]
        one, two = (surrogate.answers(candidates) for surrogate in surrogates)
        mean = (one + two) / 2
        fitness = torch.rand(len(candidates), generator=kit.rng, device=kit.device)
        if self.fitness == "entropy":
            fitness = entropy(mean)
        elif self.fitness == "disagreement":  # Jensen-Shannon
            fitness = entropy(mean) - (entropy(one) + entropy(two)) / 2
        if not self.balance:
            return fitness.topk(size).indices[torch.argsort(shuffled[:size])]
        # every class gets the rows that it lacks, the fittest of the class first
        classes = answers.shape[1]
        sizes = answers.argmax(1).bincount(minlength=classes)
        lacks = ((len(answers) + size) / classes - sizes).clamp_min(LEAST * size)
        quota = lacks / lacks.sum() * size
        order = fitness.argsort(descending=True)
        guess = mean.argmax(1)[order]
        one_hot = nn.functional.one_hot(guess, classes)
        rank = (one_hot.cumsum(0) * one_hot).sum(1)  # 1, 2, ... within its class, by fitness
        first = (rank / quota[guess]).argsort(stable=True)[:size]
        return order[first][torch.argsort(shuffled[:size])]

    def _clone(self, images: Tensor, answers: Tensor, kit: AttackerKit) -> nn.Module:
        students = [kit.new_student() for _ in range(self.ensemble)]
        recipe = Recipe(epochs=self.epochs)
        for student in students:
            distill(
                student, images, answers, recipe,
                rng=kit.rng, progress=kit.progress, loop=kit.loop,
            )  # fmt: skip
        return SoftVote(students) if len(students) > 1 else students[0]


def rarity(answers: Tensor, *, several: bool) -> Tensor:
    """(n, K) answers -> (n,) weights: 1 / (rows of the class); their sum over several labels.

    Example:
        >>> rarity(torch.eye(2)[[0, 0, 1]], several=False)
        tensor([0.5000, 0.5000, 1.0000])
    """
    if several:
        made = decisions(answers, several=True).float()
        return made @ made.sum(0).clamp_min(1).reciprocal()
    labels = answers.argmax(1)
    return labels.bincount(minlength=answers.shape[1]).reciprocal()[labels]


def _chunks(count: int, shape: Shape) -> list[int]:
    """Sizes that add up to `count`, each of as many rows as are handled together."""
    most = rows_at_once(shape)
    return [min(most, count - at) for at in range(0, count, most)]
