"""Knockoff Nets, random strategy: labels random proxy images with the victim, then distils.

Orekondy, Schiele, Fritz, CVPR 2019, https://arxiv.org/abs/1812.02766, §4.

    1. draw x_1 ... x_B from the pool without replacement; a used-up pool starts over
    2. y_i = victim(x_i)                                                  one query a row
    3. min over S of  (1/B) sum_i  -sum_k y_ik log S(x_i)_k              from scratch

Differs from the paper: see docs/attacks/knockoff.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from clonecost.attacks.base import AttackerKit, Clone, Declaration, DeferredClone, at_least
from clonecost.data.part_rows import part
from clonecost.oracle import Oracle
from clonecost.training.distill import Recipe, distill
from clonecost.training.read_ahead import batches_of
from clonecost.types import Rows, as_pixels

# SGD 0.01, momentum 0.5, no weight decay, x 0.1 every 60 of 200 epochs, batch 64, no augmentation.
PAPER = Recipe(
    optimizer="sgd", lr=0.01, momentum=0.5, weight_decay=0.0, batch_size=64, epochs=200,
    schedule="step", step_epochs=60, step_decay=0.1, augment="none", validation=0.0,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Knockoff:
    """Labels proxy images drawn at random, then trains each clone from scratch.

    Example:
        >>> run_audit(Audit(attack=Knockoff(recipe="shared"), proxy=load("cifar10"), ...))
    """

    # training of the clone; shared: clonecost's own recipe
    recipe: Literal["paper", "shared"] = "paper"
    epochs: int | None = None  # epochs of the clone; None: those of the recipe
    batch_size: int = 256  # rows per call of the victim (the released code's 8 is slower)

    declares: ClassVar = Declaration(
        needs="label",
        proxy="asked",
        skips_refused=True,
        multi_label=True,
        by_settings=("clone_epochs",),
    )

    def __post_init__(self) -> None:
        at_least(1, self, "epochs", "batch_size")

    @property
    def clone_epochs(self) -> int:
        return self._recipe().epochs

    def plan(self, budget: int) -> str:
        recipe = self._recipe()
        return (
            f"queries {budget:,} rows of the proxy data once each (again if there are "
            f"fewer), then trains each scored clone for {recipe.epochs} epochs"
        )

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[Clone]:
        pool = kit.required_proxy(self)
        order = torch.randperm(len(pool), generator=kit.rng, device=kit.rng.device).cpu()
        order = order[torch.arange(oracle.threat.query_budget) % len(pool)]
        answers: list[Tensor] = []

        def clone(bought: int, kit: AttackerKit) -> nn.Module:
            inputs = part(pool.inputs, order[:bought], kit.device)
            return self._train(inputs, torch.cat(answers)[:bought], kit)

        batches: Iterator[tuple[Tensor, Tensor]] | None = None
        for _ in kit.loop(lambda _: oracle.remaining > 0, answers=answers):
            # rows on a disk are read while the victim answers; a resumed run begins here, too
            left = order[oracle.spent :].split(self.batch_size)
            batches = batches or batches_of(pool.inputs, left, kit.device)
            rows, inputs = next(batches)
            answers.append(oracle(as_pixels(inputs), index=rows))
            yield DeferredClone(clone)

    def _train(self, inputs: Rows, answers: Tensor, kit: AttackerKit) -> nn.Module:
        """A clone trained from scratch, so that no smaller budget's clone warms it up."""
        student = kit.new_student()
        distill(
            student, inputs, answers, self._recipe(), rng=kit.rng,
            progress=kit.progress, loop=kit.loop,
        )  # fmt: skip
        return student

    def _recipe(self) -> Recipe:
        recipe = PAPER if self.recipe == "paper" else Recipe()
        return recipe if self.epochs is None else replace(recipe, epochs=self.epochs)


PROFILES = {"shared": Knockoff(recipe="shared")}
