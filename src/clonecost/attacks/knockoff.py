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
from clonecost.errors import SetKey, SpecError
from clonecost.networks.pretrained import Start, start_of
from clonecost.oracle import Oracle
from clonecost.training.distill import Recipe
from clonecost.training.fine_tune import FineTune
from clonecost.training.read_ahead import batches_of
from clonecost.training.recipes import passes_of, recipe_from, train
from clonecost.types import Rows, ThreatModel, as_pixels

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

    # training of the clone; shared: clonecost's own recipe, by whether the student is pretrained;
    # fine_tune and linear_probe: stages of it, for a student with a backbone
    recipe: Literal["paper", "shared", "fine_tune", "linear_probe"] = "paper"
    epochs: int | None = None  # epochs of the clone; None: those of the recipe
    # T of E3's loss, T^2 KL(softmax(log p / T) || softmax(s / T)); sweep: chosen on bought rows;
    # None: cross-entropy
    temperature: float | Literal["sweep"] | None = None
    batch_size: int = 256  # rows per call of the victim (the released code's 8 is slower)

    declares: ClassVar = Declaration(
        needs="label",
        proxy="asked",
        skips_refused=True,
        multi_label=True,
        by_settings=("clone_epochs", "unfit"),
    )

    def __post_init__(self) -> None:
        at_least(1, self, "epochs", "batch_size")
        if self.temperature != "sweep":
            at_least(1e-3, self, "temperature")

    def clone_epochs(self, start: Start) -> int:
        return passes_of(self._recipe(start), start)

    def unfit(self, threat: ThreatModel) -> SpecError | None:
        if self.temperature is None or (threat.answers == "probs" and not threat.multi_label):
            return None
        return SpecError(
            "its temperature needs the probabilities of all classes, of which one is right",
            SetKey("answers", "probs"), got=threat.answers,
        )  # fmt: skip

    def plan(self, budget: int) -> str:
        recipe = self._recipe("scratch")
        how = recipe.plan if isinstance(recipe, FineTune) else f"for {recipe.epochs} epochs"
        return (
            f"queries {budget:,} rows of the proxy data once each (again if there are "
            f"fewer), then trains each scored clone {how}"
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
        train(
            student, inputs, answers, self._recipe(start_of(student)), rng=kit.rng,
            progress=kit.progress, loop=kit.loop,
        )  # fmt: skip
        return student

    def _recipe(self, start: Start) -> Recipe | FineTune:
        found: Recipe | FineTune = PAPER
        if self.recipe == "linear_probe":
            return FineTune(epochs=0, low_epochs=0)
        if self.recipe == "fine_tune":
            found = FineTune()
        elif self.recipe == "shared":
            found = recipe_from(start)
        epochs = found.epochs if self.epochs is None else self.epochs
        return replace(found, epochs=epochs, temperature=self.temperature)


PROFILES = {
    "shared": Knockoff(recipe="shared"),
    "fine_tune": Knockoff(recipe="fine_tune"),
    "linear_probe": Knockoff(recipe="linear_probe"),
    "e3": Knockoff(recipe="shared", temperature="sweep"),
    # chosen for 10,000 to 100,000 queries: docs/small_budgets.md
    "small-budget": Knockoff(recipe="shared", temperature="sweep"),
}
