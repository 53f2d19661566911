"""MARICH: selects pool rows in rounds by entropy, by loss and by diversity, and queries them.

Karmakar, Basu, NeurIPS 2023, https://arxiv.org/abs/2302.08466. A round, with the current student S:

    1. entropy     the B candidates with the greatest  H(p) = -sum_k p_k log p_k,   p = S(x)
    2. loss        gamma_1 B of them: the nearest, in p, to the queried rows with the greatest
                   loss  -sum_k y_k log p_k
    3. gradient    gamma_1 gamma_2 B of those: the most diverse gradients dH/dx
    4. y = victim(x) of these                                             one query a row
    5. S is trained on all rows so far, from its current weights

B and the epochs grow with every round. Only an outline of the paper was available; docs/attacks/
marich.md lists what was added, and how this differs from the paper.
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from clonecost.attacks.active_thief import shuffled
from clonecost.attacks.base import (
    AttackerKit,
    Clone,
    Declaration,
    DeferredClone,
    at_least,
    at_most,
)
from clonecost.data.part_rows import part
from clonecost.oracle import Oracle
from clonecost.query_synthesis.active_selection import entropy_gradients, k_centre, probabilities
from clonecost.training.distill import Recipe, distill
from clonecost.training.losses import entropy
from clonecost.training.recipes import shared_recipe, train
from clonecost.types import ProxyData


@dataclass(frozen=True, kw_only=True)
class Marich:
    """Queries random proxy rows, then rows that three selections leave; trains one student on.

    Example:
        >>> Marich(seed_rows=200, round_rows=300, recipe="shared")
    """

    seed_rows: int = 500  # rows drawn at random before the first selection
    # B, rows that the first selection keeps in round 1; gamma1 * gamma2 of them are queried
    round_rows: int = 750
    gamma1: float = 0.8  # share of B that the second selection keeps
    gamma2: float = 0.8  # share of those that the third selection keeps
    growth: float = 1.01  # factor of B from round to round
    candidates: int = 10_000  # remaining rows drawn anew for each round; all, if fewer remain
    round_epochs: int = 8  # epochs of the student in the first round
    epochs_growth: float = 1.02  # factor of these epochs from round to round
    lr: float = 0.02  # learning rate of SGD
    momentum: float = 0.9  # momentum of SGD
    batch_size: int = 64  # rows of a training batch
    # training of the clone; shared: a fresh one with clonecost's own recipe
    recipe: Literal["paper", "shared"] = "paper"
    epochs: int | None = None  # epochs of that fresh clone; None: those of the recipe

    declares: ClassVar = Declaration(needs="label", proxy="asked", skips_refused=True)

    def __post_init__(self) -> None:
        at_least(2, self, "seed_rows", "batch_size")  # batch norm
        at_least(1, self, "round_rows", "growth", "candidates", "round_epochs", "epochs_growth",
                 "epochs")  # fmt: skip
        at_least(0.01, self, "gamma1", "gamma2")
        at_least(0, self, "lr", "momentum")
        at_most(1, self, "gamma1", "gamma2")

    def plan(self, budget: int) -> str:
        size = max(1, int(self.round_rows * self.gamma1 * self.gamma2))
        return (
            f"queries {min(budget, self.seed_rows):,} random rows of the proxy data, then at "
            f"least {size:,} in each round, selected from {self.candidates:,} without a query "
            "(each row once; ends with the pool)"
        )

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[Clone]:
        pool = kit.required_proxy(self)
        asked: list[Tensor] = []
        answers: list[Tensor] = []
        left = torch.ones(len(pool), dtype=torch.bool)
        student = kit.new_student()
        selected = [shuffled(left, kit)[: self.seed_rows]]  # rows of all rounds and the next one

        def clone(bought: int, kit: AttackerKit) -> nn.Module:
            rows, labels = torch.cat(asked)[:bought], torch.cat(answers)[:bought]
            return self._clone(student, pool, rows, labels, kit, len(selected) - 1)

        for past in kit.loop(
            lambda _: len(selected[-1]) > 0 and oracle.remaining > 0,
            student=student, asked=asked, answers=answers, selected=selected,
        ):  # fmt: skip
            rows = selected[-1][: oracle.remaining]
            answers.append(oracle(pool.rows(rows, kit.device), index=rows))
            asked.append(rows)
            yield DeferredClone(clone)
            if oracle.remaining:
                bought, branch = (torch.cat(asked), torch.cat(answers)), kit.branch(oracle.spent)
                left[bought[0]] = False
                trained = self._trained(student, pool, *bought, branch, past)
                student.load_state_dict(trained.state_dict())
                selected.append(self.choose(student, pool, left, *bought, kit, past))

    def choose(
        self, student: nn.Module, pool: ProxyData, left: Tensor, asked: Tensor,
        answers: Tensor, kit: AttackerKit, past: int,
    ) -> Tensor:  # fmt: skip
        """(n,) indices into the pool."""
        candidates = shuffled(left, kit)[: self.candidates]
        first = min(int(self.round_rows * self.growth**past), len(candidates))  # B
        if not first:
            return candidates
        second = max(1, round(self.gamma1 * first))
        third = max(1, round(self.gamma2 * second))
        inputs, old = (part(pool.inputs, rows, kit.device) for rows in (candidates, asked))
        p, p_old = probabilities(student, inputs), probabilities(student, old)
        uncertain = entropy(p).topk(first).indices
        losses = -(answers * p_old.clamp_min(1e-30).log()).sum(1)
        wrong = p_old[losses.topk(min(second, len(p_old))).indices]
        to_wrong = torch.cdist(p[uncertain], wrong).amin(1)
        near_wrong = uncertain[to_wrong.topk(second, largest=False).indices]
        near = part(pool.inputs, candidates[near_wrong.cpu()], kit.device)
        gradients = entropy_gradients(student, near)
        diverse = near_wrong[k_centre(gradients, gradients[:0], third)]
        return candidates[diverse.cpu()]

    def _trained(
        self, student: nn.Module, pool: ProxyData, asked: Tensor, answers: Tensor,
        kit: AttackerKit, past: int,
    ) -> nn.Module:  # fmt: skip
        """A copy of the student, trained for one more round."""
        trained = deepcopy(student)
        recipe = Recipe(
            optimizer="sgd", lr=self.lr, momentum=self.momentum, weight_decay=0.0,
            batch_size=self.batch_size, epochs=int(self.round_epochs * self.epochs_growth**past),
            schedule="constant", validation=0.0,
        )  # fmt: skip
        inputs = part(pool.inputs, asked, kit.device)
        distill(trained, inputs, answers, recipe, rng=kit.rng, progress=kit.progress, loop=kit.loop)
        return trained

    def _clone(
        self, student: nn.Module, pool: ProxyData, asked: Tensor, answers: Tensor,
        kit: AttackerKit, past: int,
    ) -> nn.Module:  # fmt: skip
        if self.recipe == "paper":
            return self._trained(student, pool, asked, answers, kit, past)
        fresh = kit.new_student()
        recipe = shared_recipe(fresh, self.epochs)
        inputs = part(pool.inputs, asked, kit.device)
        train(fresh, inputs, answers, recipe, rng=kit.rng, progress=kit.progress, loop=kit.loop)
        return fresh


PROFILES = {"shared": Marich(recipe="shared")}
