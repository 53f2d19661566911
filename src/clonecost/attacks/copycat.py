"""Copycat CNN: trains on the victim's labels of unrelated images, with classes filled by copies.

Correia-Silva, Berriel, Badue, de Souza, Oliveira-Santos, IJCNN 2018,
https://arxiv.org/abs/1806.05476.

    1. y = argmax victim(x) for every image of the pool                   one query a row
    2. each class with fewer than n images gets varied copies of them, with the same y, no query:
       as many of 22 operators as fit vary the whole class, random ones a random rest. Several
       labels a row have no class to fill
    3. min over S of  mean -log S(x)_y  over originals and copies          from scratch

Differs from the paper: see docs/attacks/copycat.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clonecost.attacks.base import AttackerKit, Clone, Declaration, DeferredClone, at_least
from clonecost.networks.per_label import decisions
from clonecost.networks.pretrained import Start, start_of
from clonecost.oracle import Oracle
from clonecost.query_synthesis.copycat_augmentation import VIEWS, vary
from clonecost.training.distill import Recipe
from clonecost.training.fine_tune import FineTune
from clonecost.training.recipes import passes_of, recipe_from, train
from clonecost.types import answered, as_bytes

# SGD 1e-4, x 0.1 after each third of five epochs; meant for a pretrained network.
PAPER = Recipe(
    optimizer="sgd", lr=1e-4, momentum=0.9, weight_decay=5e-4, batch_size=32, epochs=5,
    schedule="step", step_epochs=2, step_decay=0.1, validation=0.0,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Copycat:
    """Labels each proxy image once, balances the classes and trains each clone from scratch.

    Example:
        >>> Copycat(recipe="shared", per_class=2_000)
    """

    balance: bool = True  # add varied copies to small classes before training
    # n, least rows of a class, larger ones stay; None: as many as the largest class has
    per_class: int | None = None
    # training of the clone; shared: clonecost's own recipe
    recipe: Literal["paper", "shared"] = "paper"
    epochs: int | None = None  # epochs of the clone; None: those of the recipe
    batch_size: int = 256  # rows per call of the victim

    declares: ClassVar = Declaration(
        needs="label",
        proxy="asked",
        skips_refused=True,
        multi_label=True,
        by_settings=("clone_epochs",),
    )

    def __post_init__(self) -> None:
        at_least(1, self, "per_class", "epochs", "batch_size")

    def clone_epochs(self, start: Start) -> int:
        return passes_of(self._recipe(start), start)

    def plan(self, budget: int) -> str:
        return (
            f"queries up to {budget:,} rows of the proxy data, each once, keeps only the "
            "labels, fills small classes with varied copies that cost no query, then trains each "
            "scored clone"
        )

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[Clone]:
        pool, several = kit.required_proxy(self), oracle.threat.multi_label
        order = torch.randperm(len(pool), generator=kit.rng, device=kit.device).cpu()
        order = order[: oracle.threat.query_budget]
        labels: list[Tensor] = []  # (n, K) bool

        def clone(bought: int, kit: AttackerKit) -> nn.Module:
            inputs = pool.inputs[order[:bought]].to(kit.device)
            return self._clone(inputs, torch.cat(labels)[:bought], kit, several=several)

        for _ in kit.loop(lambda _: oracle.spent < len(order), labels=labels):
            rows = order[oracle.spent :][: self.batch_size]
            answers = oracle(pool.rows(rows, kit.device), index=rows)
            labels.append(decisions(answers, several=several))
            yield DeferredClone(clone)

    def _recipe(self, start: Start) -> Recipe | FineTune:
        if self.recipe == "shared":
            return recipe_from(start, self.epochs)
        return PAPER if self.epochs is None else replace(PAPER, epochs=self.epochs)

    def _clone(
        self, inputs: Tensor, labels: Tensor, kit: AttackerKit, *, several: bool
    ) -> nn.Module:
        told = answered(labels)
        inputs, labels = inputs[told], labels[told]
        if self.balance and not several:
            inputs, top = balanced(inputs, labels.int().argmax(1), self.per_class, kit.rng)
            labels = F.one_hot(top, labels.shape[1])
        student = kit.new_student()
        answers = labels / labels.sum(1, keepdim=True)
        recipe = self._recipe(start_of(student))
        train(student, inputs, answers, recipe, rng=kit.rng, progress=kit.progress, loop=kit.loop)
        return student


def balanced(
    inputs: Tensor, labels: Tensor, per_class: int | None, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The rows in their order, then varied copies for every class below `per_class` rows.

    Args:
        inputs: (n, C, H, W) uint8, or float32 in [0, 1], on the device of `rng`.
        labels: (n,) int64. A class without a row stays empty.
        per_class: None: the size of the largest class.

    Returns (m, C, H, W) uint8 and (m,) int64, m >= n.
    """
    inputs = inputs if inputs.dtype == torch.uint8 else as_bytes(inputs)
    sizes = labels.bincount()
    target = int(sizes.max()) if per_class is None else per_class
    sources, operators = [], []
    for label, size in enumerate(sizes.tolist()):
        if not 0 < size < target:
            continue
        own = (labels == label).nonzero().flatten()
        passes, rest = divmod(target - size, size)
        cycles = -(-passes // len(VIEWS))  # no operator twice before each was used
        for cycle in range(cycles):
            order = torch.randperm(len(VIEWS), generator=rng, device=rng.device)
            order = order[: passes - cycle * len(VIEWS)]
            sources.append(own.repeat(len(order)))
            operators.append(order.repeat_interleave(size))
        sources.append(own[torch.randperm(size, generator=rng, device=rng.device)[:rest]])
        operators.append(torch.randint(len(VIEWS), (rest,), generator=rng, device=rng.device))
    if not sources:
        return inputs, labels
    copied = torch.cat(sources)
    copies = vary(inputs[copied], torch.cat(operators), rng)
    return torch.cat([inputs, copies]), torch.cat([labels, labels[copied]])


PROFILES = {"shared": Copycat(recipe="shared")}
