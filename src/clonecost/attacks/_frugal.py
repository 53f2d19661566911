"""What Frugal Ripper and Ex Nihilo share: pictures breed, and scouts judge them for nothing.

    1. candidates    new ones: views of the attack's own pictures;
                     children: two bought rows, each of the victim's classes as often, crossed
    2. fitness       entropy of m = (S_1(x) + S_2(x)) / 2 for two scouts S_1, S_2       no query
    3. selection     the fittest of each class of m, more of the classes that lack rows
    4. y = T(x)      of the selected; they are the next parents                  one query a row
    5. scouts        some steps of min KL(y || S_i(x)) on all rows so far
    6. min over S    of mean KL(y || S(x)) over all bought rows                   from scratch

Related: active mixup (Wang et al., CVPR 2020) mixes and selects by confidence, without selection by
class and without descent. What each part is worth: docs/attacks/frugal_ripper.md.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from clonecost.attacks.base import AttackerKit, Clone, DeferredClone, at_least, name_of_attack
from clonecost.errors import SpecError
from clonecost.oracle import Oracle
from clonecost.query_synthesis.image_mutation import children, keys_of, unseen, views
from clonecost.query_synthesis.surrogate import CHUNK, Surrogate
from clonecost.training.distill import Recipe, distill
from clonecost.training.losses import entropy
from clonecost.training.replay_buffer import Replay
from clonecost.types import Shape, as_bytes, as_pixels

LEAST = 0.02  # of a round's rows: what every class gets


@dataclass(frozen=True, kw_only=True)
class Frugal(ABC):
    """An attack in this manner says in `new` where its pictures come from."""

    children: float = 0.6  # share of the candidates that descend from bought rows
    candidates: int = 6  # candidates for each row that is asked; 1: nothing is selected
    # what makes a candidate worth asking, by the surrogates
    fitness: Literal["entropy", "disagreement", "none"] = "entropy"
    balance: bool = True  # select class by class
    round_size: int = 1000  # rows asked at once, at least
    growth: float = 0.04  # rows asked at once, at least this share of what is bought
    scout_passes: float = 12.0  # passes of the surrogates over a row, all rounds together
    scout_lr: float = 1e-3  # learning rate of the surrogates
    batch_size: int = 128  # rows of a training batch
    epochs: int = 40  # epochs of the clone at each milestone

    def __post_init__(self) -> None:
        at_least(0, self, "children", "growth", "scout_passes", "scout_lr")
        at_least(1, self, "candidates", "round_size", "epochs")
        at_least(2, self, "batch_size")  # batch norm
        if self.children > 1:
            name = name_of_attack(self)
            raise SpecError(f"{name}.children is {self.children}: it is a share, at most 1")

    @abstractmethod
    def new(self, count: int, shape: Shape, kit: AttackerKit) -> Tensor:
        """(count, *shape) pixels of the attack's own; not rounded, never asked as they are."""

    def plan(self, budget: int) -> str:
        return (
            f"asks about {budget:,} images, picked from {budget * self.candidates:,} by two scouts "
            f"that cost nothing, then trains each scored clone for {self.epochs} epochs"
        )

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[Clone]:
        if len(oracle.threat.input_shape) != 3:
            raise SpecError(
                f"{name_of_attack(self)} breeds images (C, H, W); this victim takes others"
            )
        scouts = [
            Surrogate(kit.new_student(), lr=self.scout_lr, batch_size=self.batch_size, rng=kit.rng)
            for _ in range(2)
        ]
        classes, shape = oracle.threat.num_classes, oracle.threat.input_shape
        bought = Replay(oracle.threat.query_budget, shape, classes, kit.device)
        keys = torch.empty(0, dtype=torch.int64, device=kit.device)  # of the rows in it

        def clone(rows: int, kit: AttackerKit) -> nn.Module:
            return self._clone(bought.images[:rows], bought.answers[:rows], kit)

        for _ in kit.loop(lambda _: oracle.remaining > 0, scouts=scouts, bought=bought):
            size = max(self.round_size, int(self.growth * len(bought)))
            keys = torch.cat([keys, keys_of(bought.images[len(keys) :])])
            candidates = self._candidates(size, bought, keys, kit)
            chosen = candidates[self.select(candidates, size, bought.answers, scouts, kit)]
            chosen = chosen[: oracle.remaining]
            bought.add(chosen, oracle(as_pixels(chosen)))
            yield DeferredClone(clone)
            if oracle.remaining:
                for scout in scouts:
                    seen = int(self.scout_passes * size)
                    scout.learn(bought.images, bought.answers, seen=seen)

    def _candidates(self, size: int, bought: Replay, asked: Tensor, kit: AttackerKit) -> Tensor:
        """(candidates * size, C, H, W) uint8: rounded here, so that what is kept is sent."""
        count, images, answers = size * self.candidates, bought.images, bought.answers
        shape = tuple(images.shape[1:])
        old = int(self.children * count) if len(images) else 0
        made = [
            views(self.new(n, shape, kit), self.new(n, shape, kit), kit.rng)
            for n in _chunks(count - old)
        ]
        found = answers.argmax(1)
        weights = found.bincount(minlength=answers.shape[1]).reciprocal()[found]  # 1 / its class
        for n in _chunks(old):
            mothers, fathers = (
                as_pixels(images[torch.multinomial(weights, n, True, generator=kit.rng)])
                for _ in range(2)
            )
            made.append(children(mothers, fathers, self.new(n, shape, kit), kit.rng))
        candidates = torch.cat([as_bytes(part) for part in made])
        fresh = candidates[unseen(keys_of(candidates), asked)]  # no row is paid for twice
        return fresh if len(fresh) >= size else candidates

    def select(
        self, candidates: Tensor, size: int, answers: Tensor, scouts: "list[Surrogate]",
        kit: AttackerKit,
    ) -> Tensor:  # fmt: skip
        """(size,) places of the candidates to ask about, in random order."""
        mixed = torch.randperm(len(candidates), generator=kit.rng, device=kit.device)
        if not len(answers) or self.candidates == 1:
            return mixed[:size]
        one, two = (scout.answers(candidates) for scout in scouts)
        mean = (one + two) / 2
        fitness = torch.rand(len(candidates), generator=kit.rng, device=kit.device)
        if self.fitness == "entropy":
            fitness = entropy(mean)
        elif self.fitness == "disagreement":  # Jensen-Shannon
            fitness = entropy(mean) - (entropy(one) + entropy(two)) / 2
        if not self.balance:
            return fitness.topk(size).indices[torch.argsort(mixed[:size])]
        # every class gets what it lacks; within a class the fittest come first
        classes = answers.shape[1]
        have = answers.argmax(1).bincount(minlength=classes)
        lacks = ((len(answers) + size) / classes - have).clamp_min(LEAST * size)
        wanted = lacks / lacks.sum() * size
        order = fitness.argsort(descending=True)
        guess = mean.argmax(1)[order]
        one_hot = nn.functional.one_hot(guess, classes)
        place = (one_hot.cumsum(0) * one_hot).sum(1)  # 1, 2, ... within its class, by fitness
        late = (place / wanted[guess]).argsort(stable=True)[:size]  # most urgent first
        return order[late][torch.argsort(mixed[:size])]

    def _clone(self, images: Tensor, answers: Tensor, kit: AttackerKit) -> nn.Module:
        student = kit.new_student()
        recipe = Recipe(epochs=self.epochs)
        distill(student, images, answers, recipe, rng=kit.rng, progress=kit.progress, loop=kit.loop)
        return student


def _chunks(count: int) -> list[int]:
    """Sizes that add up to `count`."""
    return [min(CHUNK, count - at) for at in range(0, count, CHUNK)]
