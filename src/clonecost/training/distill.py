"""Training a student on answers that are already bought."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from clonecost.persistence.resumable_loop import Loop, plain
from clonecost.training.augmentation import Augment, augment
from clonecost.training.losses import STUDENT_LOSSES, StudentLoss, kl
from clonecost.types import Progress, as_pixels, no_progress


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is fitted. The defaults are the shared student recipe.

    The epoch is chosen on rows that were *bought*; no test row takes part. Rows are not augmented:
    an answer belongs to the row that was sent, and far from its own data a victim answers a shifted
    row differently (LOG.md, 2026-11-23).
    """

    loss: StudentLoss = "kl"  # of the student's probabilities, mean over a batch
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    lr: float = 2e-3
    momentum: float = 0.9  # of SGD
    weight_decay: float = 0.01
    batch_size: int = 128
    epochs: int = 60
    schedule: Literal["cosine", "step", "constant"] = "cosine"  # cosine: per step, to 0
    step_epochs: int = 60  # of the step schedule: every so many epochs ...
    step_decay: float = 0.1  # ... times this
    augment: Augment = "none"
    validation: float = 0.1  # share set aside; the epoch with the lowest KL there wins. 0: the last


def distill(
    student: nn.Module,
    inputs: Tensor,
    answers: Tensor,
    recipe: Recipe,
    *,
    rng: torch.Generator,
    progress: Progress = no_progress,
    loop: Loop = plain,
) -> None:
    """Fit `student` in place to minimise the recipe's loss, by default mean KL(answers || student).

    Args:
        inputs: (n, *shape), uint8 0..255 or float32 in [0, 1], on the student's device.
        answers: (n, K) on the simplex (hard labels are one-hot), on the same device.
        rng: on the same device; decides the split, the order, the augmentation and dropout.
        loop: over the epochs; the kit's goes on in the middle of a training that was killed.
    """
    order = torch.randperm(len(inputs), generator=rng, device=rng.device)
    aside = int(recipe.validation * len(inputs))
    held_out, training = order[:aside], order[aside:]
    steps = -(-len(training) // recipe.batch_size)
    optimizer = _optimizer(student, recipe)
    scheduler = _scheduler(optimizer, recipe, steps)
    distance = STUDENT_LOSSES[recipe.loss]
    best: dict[str, Any] = {"kl": float("inf"), "weights": None}
    state = {"student": student, "optimizer": optimizer, "scheduler": scheduler, "best": best}

    with _seeded(rng):
        for epoch in loop(lambda epoch: epoch < recipe.epochs, **state, rng=rng):
            student.train()
            order = training[torch.randperm(len(training), generator=rng, device=rng.device)]
            for batch in order.split(recipe.batch_size):
                if len(batch) == 1 and len(training) > 1:
                    continue  # batch norm needs two; another order lets this row in next time
                x = as_pixels(augment(inputs.index_select(0, batch), recipe.augment, rng))
                loss = distance(student(x), answers.index_select(0, batch)).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                scheduler.step()
            progress("training the student", epoch + 1, recipe.epochs)
            if aside and epoch >= recipe.epochs // 2:  # before, the rate is still high
                found = mean_kl(student, inputs[held_out], answers[held_out])
                if found < best["kl"]:
                    weights = {name: w.clone() for name, w in student.state_dict().items()}
                    best.update(kl=found, weights=weights)
    if best["weights"] is not None:
        student.load_state_dict(best["weights"])


@torch.no_grad()
def mean_kl(student: nn.Module, inputs: Tensor, answers: Tensor) -> float:
    """Mean KL(answers || student) in eval mode; the mode is restored."""
    was_training = student.training
    student.eval()
    parts = zip(inputs.split(1024), answers.split(1024), strict=True)
    total = sum(kl(student(as_pixels(x)), a).sum() for x, a in parts)
    student.train(was_training)
    return float(total) / len(inputs)


def _optimizer(student: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            student.parameters(), lr=recipe.lr, momentum=recipe.momentum,
            weight_decay=recipe.weight_decay, fused=True,
        )  # fmt: skip
    adam = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return adam(student.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)


def _scheduler(
    optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """Counts optimiser steps, not epochs: the two must not be confused."""
    if recipe.schedule == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps * recipe.epochs))
    every = steps * (recipe.step_epochs if recipe.schedule == "step" else recipe.epochs + 1)
    return torch.optim.lr_scheduler.StepLR(optimizer, max(1, every), recipe.step_decay)


@contextmanager
def _seeded(rng: torch.Generator) -> Iterator[None]:
    """Dropout draws from the global state: it gets one that depends on `rng` alone."""
    seed = int(torch.randint(2**62, (1,), generator=rng, device=rng.device))
    with torch.random.fork_rng(devices=[rng.device] if rng.device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
