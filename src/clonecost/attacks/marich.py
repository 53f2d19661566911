"""MARICH: labels only, and three sieves: uncertain, like what the student gets wrong, diverse.

Karmakar, Basu, NeurIPS 2023, https://arxiv.org/abs/2302.08466. A round, with S as it stands:

    1. entropy     the B candidates with the greatest  H(p) = -sum_k p_k log p_k,   p = S(x)
    2. loss        gamma_1 B of them: the nearest, in p, to the asked rows of the greatest
                   loss  -sum_k y_k log p_k
    3. gradient    gamma_1 gamma_2 B of those: the most diverse gradients of H by x
    4. y = victim(x) of these                                             one query a row
    5. S goes on learning, from its current weights, on all rows so far

B and the epochs grow a little with every round. Only an outline of the paper was at hand: what was
filled in stands in docs/attacks/marich.md.
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from clonecost.attacks.active_thief import mixed
from clonecost.attacks.base import (
    AttackerKit,
    Clone,
    Declaration,
    DeferredClone,
    at_least,
    name_of_attack,
)
from clonecost.errors import SpecError
from clonecost.oracle import Oracle
from clonecost.query_synthesis.active_selection import entropy_gradients, k_centre, probabilities
from clonecost.training.distill import Recipe, distill
from clonecost.training.losses import entropy
from clonecost.types import LabelledInputs


@dataclass(frozen=True, kw_only=True)
class Marich:
    seed_rows: int = 500  # rows drawn at random before the first choice
    # B, rows of a round before the last two selections; gamma1 * gamma2 of them are asked
    round_rows: int = 750
    gamma1: float = 0.8  # share of a round's rows that the second selection keeps
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
    epochs: int | None = None  # epochs of that fresh clone; None: as the recipe has it

    declares: ClassVar = Declaration(needs="label", proxy="asked")

    def __post_init__(self) -> None:
        at_least(2, self, "seed_rows", "batch_size")  # batch norm
        at_least(1, self, "round_rows", "growth", "candidates", "round_epochs", "epochs_growth",
                 "epochs")  # fmt: skip
        at_least(0.01, self, "gamma1", "gamma2")
        at_least(0, self, "lr", "momentum")
        for name in ("gamma1", "gamma2"):
            if getattr(self, name) > 1:
                raise SpecError(
                    f"{name_of_attack(self)}.{name} is {getattr(self, name)}: it is a share, at "
                    "most 1"
                )

    def plan(self, budget: int) -> str:
        size = max(1, int(self.round_rows * self.gamma1 * self.gamma2))
        return (
            f"asks about {min(budget, self.seed_rows):,} rows of the proxy data by chance, then "
            f"about {size:,} and more a round, sieved from {self.candidates:,} by a student that "
            "costs nothing (each row once; ends when all are asked)"
        )

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[Clone]:
        pool = kit.owned(self)
        asked: list[Tensor] = []
        answers: list[Tensor] = []
        left = torch.ones(len(pool), dtype=torch.bool)
        student = kit.new_student()
        chosen = [mixed(left, kit)[: self.seed_rows]]  # of every round, and of the one that comes

        def clone(bought: int, kit: AttackerKit) -> nn.Module:
            rows, found = torch.cat(asked)[:bought], torch.cat(answers)[:bought]
            return self._clone(student, pool, rows, found, kit, len(chosen) - 1)

        for past in kit.loop(
            lambda _: len(chosen[-1]) > 0 and oracle.remaining > 0,
            student=student, asked=asked, answers=answers, chosen=chosen,
        ):  # fmt: skip
            rows = chosen[-1][: oracle.remaining]
            answers.append(oracle(pool.rows(rows, kit.device), index=rows))
            asked.append(rows)
            yield DeferredClone(clone)
            if oracle.remaining:
                bought, branch = (torch.cat(asked), torch.cat(answers)), kit.branch(oracle.spent)
                left[bought[0]] = False
                learnt = self._goes_on(student, pool, *bought, branch, past)
                student.load_state_dict(learnt.state_dict())
                chosen.append(self.choose(student, pool, left, *bought, kit, past))

    def choose(
        self, student: nn.Module, pool: LabelledInputs, left: Tensor, asked: Tensor,
        answers: Tensor, kit: AttackerKit, past: int,
    ) -> Tensor:  # fmt: skip
        """(n,) places in the pool."""
        candidates = mixed(left, kit)[: self.candidates]
        most = min(int(self.round_rows * self.growth**past), len(candidates))
        if not most:
            return candidates
        some = max(1, round(self.gamma1 * most))
        few = max(1, round(self.gamma2 * some))
        inputs, old = (pool.inputs[rows].to(kit.device) for rows in (candidates, asked))
        p, known = probabilities(student, inputs), probabilities(student, old)
        uncertain = entropy(p).topk(most).indices
        losses = -(answers * known.clamp_min(1e-30).log()).sum(1)
        wrong = known[losses.topk(min(some, len(known))).indices]
        to_wrong = torch.cdist(p[uncertain], wrong).amin(1)
        like_wrong = uncertain[to_wrong.topk(some, largest=False).indices]
        gradients = entropy_gradients(student, inputs[like_wrong])
        diverse = like_wrong[k_centre(gradients, gradients[:0], few)]
        return candidates[diverse.cpu()]

    def _goes_on(
        self, student: nn.Module, pool: LabelledInputs, asked: Tensor, answers: Tensor,
        kit: AttackerKit, past: int,
    ) -> nn.Module:  # fmt: skip
        """A copy that has learnt a round more."""
        learnt = deepcopy(student)
        recipe = Recipe(
            optimizer="sgd", lr=self.lr, momentum=self.momentum, weight_decay=0.0,
            batch_size=self.batch_size, epochs=int(self.round_epochs * self.epochs_growth**past),
            schedule="constant", validation=0.0,
        )  # fmt: skip
        inputs = pool.inputs[asked].to(kit.device)
        distill(learnt, inputs, answers, recipe, rng=kit.rng, progress=kit.progress, loop=kit.loop)
        return learnt

    def _clone(
        self, student: nn.Module, pool: LabelledInputs, asked: Tensor, answers: Tensor,
        kit: AttackerKit, past: int,
    ) -> nn.Module:  # fmt: skip
        if self.recipe == "paper":
            return self._goes_on(student, pool, asked, answers, kit, past)
        fresh = kit.new_student()
        recipe = Recipe() if self.epochs is None else replace(Recipe(), epochs=self.epochs)
        inputs = pool.inputs[asked].to(kit.device)
        distill(fresh, inputs, answers, recipe, rng=kit.rng, progress=kit.progress, loop=kit.loop)
        return fresh


PROFILES = {"shared": Marich(recipe="shared")}
