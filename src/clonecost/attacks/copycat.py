"""Copycat CNN: the labels of a pool of unrelated images, every class made as large by variation.

Correia-Silva, Berriel, Badue, de Souza, Oliveira-Santos, IJCNN 2018,
https://arxiv.org/abs/1806.05476.

    1. y = argmax victim(x) for every image of the pool                   one query a row
    2. each class with fewer than n images gets varied copies of them, with the same y; no query:
       as many of 22 operators as fit run over the whole class, one more over a random part
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
from clonecost.oracle import Oracle
from clonecost.query_synthesis.copycat_augmentation import VIEWS, vary
from clonecost.training.distill import Recipe, distill
from clonecost.types import as_bytes

# SGD 1e-4, a tenth of it after each third of five epochs; meant for a pretrained network.
PAPER = Recipe(
    optimizer="sgd", lr=1e-4, momentum=0.9, weight_decay=5e-4, batch_size=32, epochs=5,
    schedule="step", step_epochs=2, step_decay=0.1, validation=0.0,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Copycat:
    balance: bool = True  # resample the classes to equal numbers before training
    per_class: int | None = None  # n, rows of a class; None: as many as the largest class has
    # training of the student; shared: clonecost's own recipe
    recipe: Literal["paper", "shared"] = "paper"
    epochs: int | None = None  # epochs of the student; None: as the recipe has it
    batch_size: int = 256  # rows per call of the victim

    declares: ClassVar = Declaration(needs="label", proxy="asked")

    def __post_init__(self) -> None:
        at_least(1, self, "per_class", "epochs", "batch_size")

    def plan(self, budget: int) -> str:
        return (
            f"asks about up to {budget:,} rows of the proxy data, each once, keeps the labels "
            "alone, fills up small classes with varied copies that cost nothing, then trains "
            "each scored clone"
        )

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[Clone]:
        pool, classes = kit.owned(self), oracle.threat.num_classes
        order = torch.randperm(len(pool), generator=kit.rng, device=kit.device).cpu()
        order = order[: oracle.threat.query_budget]
        labels: list[Tensor] = []

        def clone(bought: int, kit: AttackerKit) -> nn.Module:
            inputs = pool.inputs[order[:bought]].to(kit.device)
            return self._clone(inputs, torch.cat(labels)[:bought], classes, kit)

        for _ in kit.loop(lambda _: oracle.spent < len(order), labels=labels):
            rows = order[oracle.spent :][: self.batch_size]
            labels.append(oracle(pool.rows(rows, kit.device), index=rows).argmax(1))
            yield DeferredClone(clone)

    def _clone(self, inputs: Tensor, labels: Tensor, classes: int, kit: AttackerKit) -> nn.Module:
        recipe = PAPER if self.recipe == "paper" else Recipe()
        recipe = recipe if self.epochs is None else replace(recipe, epochs=self.epochs)
        if self.balance:
            inputs, labels = balanced(inputs, labels, self.per_class, kit.rng)
        student = kit.new_student()
        answers = F.one_hot(labels, classes).float()
        distill(student, inputs, answers, recipe, rng=kit.rng, progress=kit.progress, loop=kit.loop)
        return student


def balanced(
    inputs: Tensor, labels: Tensor, per_class: int | None, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The rows as they came, then varied copies for every class that has fewer than `per_class`.

    Args:
        inputs: (n, C, H, W) uint8, or float32 in [0, 1], on the device of `rng`.
        labels: (n,) int64. A class that never came up cannot be filled.
        per_class: None is as many as the largest class has.
    """
    inputs = inputs if inputs.dtype == torch.uint8 else as_bytes(inputs)
    have = labels.bincount()
    want = int(have.max()) if per_class is None else per_class
    places, which = [], []
    for label, size in enumerate(have.tolist()):
        if not 0 < size < want:
            continue
        own = (labels == label).nonzero().flatten()
        passes, rest = divmod(want - size, size)
        tours = -(-passes // len(VIEWS))  # each operator once, before any comes again
        for tour in range(tours):
            order = torch.randperm(len(VIEWS), generator=rng, device=rng.device)
            order = order[: passes - tour * len(VIEWS)]
            places.append(own.repeat(len(order)))
            which.append(order.repeat_interleave(size))
        places.append(own[torch.randperm(size, generator=rng, device=rng.device)[:rest]])
        which.append(torch.randint(len(VIEWS), (rest,), generator=rng, device=rng.device))
    if not places:
        return inputs, labels
    copied = torch.cat(places)
    copies = vary(inputs[copied], torch.cat(which), rng)
    return torch.cat([inputs, copies]), torch.cat([labels, labels[copied]])


PROFILES = {"shared": Copycat(recipe="shared")}
