"""Train a student on the victim's answers (distillation). It sends no query."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor, nn

from clonecost.data.part_rows import PartRows
from clonecost.persistence.resumable_loop import Loop, plain
from clonecost.training.augmentation import Augment, augment
from clonecost.training.losses import StudentLoss, kl, student_loss
from clonecost.training.optimisers import SGD, Adam, AdamW
from clonecost.training.read_ahead import batches_of
from clonecost.types import Progress, Rows, answered, as_pixels, no_progress

CHUNK = 1 << 24  # values that a student is asked about at a time, when it is only measured


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of a student's training. The defaults are the shared student recipe.

    The best epoch is chosen on rows that were *paid for*; no test row takes part. Of labels the KL
    is the cross-entropy, so that it chooses among epochs there, too. By default rows
    are not augmented: an answer belongs to the row that was sent, and far from its training data a
    victim answers a shifted row differently (LOG.md, 2026-11-23).

    Example:
        >>> Recipe(epochs=10, loss="l1").optimizer
        'adamw'
    """

    loss: StudentLoss = "kl"  # a key of `STUDENT_LOSSES`, mean over a batch
    # T of E3's loss (`losses.tempered`) in the place of `loss`; sweep: of `TEMPERATURES`, the best
    # on a held-out tenth of the rows; None: `loss`
    temperature: float | Literal["sweep"] | None = None
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    lr: float = 2e-3
    momentum: float = 0.9  # of SGD
    weight_decay: float = 0.01
    batch_size: int = 128
    epochs: int = 60
    schedule: Literal["cosine", "step", "constant"] = "cosine"  # cosine: per step, to 0
    step_epochs: int = 60  # epochs after which the step schedule multiplies the rate ...
    step_decay: float = 0.1  # ... by this factor
    augment: Augment = "none"
    validation: float = 0.1  # share held out to choose the epoch by the lowest KL; 0: the last


def distill(
    student: nn.Module,
    inputs: Rows,
    answers: Tensor,
    recipe: Recipe,
    *,
    rng: torch.Generator,
    progress: Progress = no_progress,
    loop: Loop = plain,
) -> None:
    """Train `student` in place to minimise the recipe's loss: by default mean KL(answers||student).

    Args:
        student: (n, *shape) pixels in [0, 1] -> (n, K) logits.
        inputs: (n, *shape), uint8 0..255 or float32 in [0, 1], on the student's device; or rows
            that are read from elsewhere, one batch ahead.
        answers: (n, K), rows on the simplex (hard labels are one-hot), on the student's device.
            Rows without an answer, all zeros, take no part.
        rng: on the same device; draws the split, the order, the augmentation and dropout.
        progress: is called after each epoch, with the number of epochs done and of all epochs.
        loop: runs the epochs; `AttackerKit.loop` continues a training that was killed.

    Example:
        >>> student = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
        >>> x, y = torch.rand(20, 1, 2, 2), torch.eye(2).repeat(10, 1)
        >>> distill(student, x, y, Recipe(epochs=1), rng=torch.Generator())
    """
    told = answered(answers).nonzero().flatten()
    order = told[torch.randperm(len(told), generator=rng, device=rng.device)]
    validation = int(recipe.validation * len(told))
    held_out, training = order[:validation], order[validation:]
    steps = -(-len(training) // recipe.batch_size)
    optimizer = _optimizer(student, recipe)
    scheduler = _scheduler(optimizer, recipe, steps)
    loss_of = student_loss(recipe.loss, recipe.temperature, answers)
    best: dict[str, Any] = {"kl": float("inf"), "weights": None}
    state = {"student": student, "optimizer": optimizer, "scheduler": scheduler, "best": best}

    with seeded(rng):
        for epoch in loop(lambda epoch: epoch < recipe.epochs, **state, rng=rng):
            student.train()
            order = training[torch.randperm(len(training), generator=rng, device=rng.device)]
            batches = list(order.split(recipe.batch_size))
            if len(batches[-1]) == 1:  # batch norm needs two rows
                if recipe.batch_size > 1 and len(training) > 1:
                    del batches[-1]  # the next epoch's order differs
                else:
                    batches = [batch.repeat(2) for batch in batches]
            for batch, rows in batches_of(inputs, batches, answers.device):
                x = as_pixels(augment(rows, recipe.augment, rng))
                loss = loss_of(student(x), answers.index_select(0, batch)).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                scheduler.step()
            progress("training the student", epoch + 1, recipe.epochs)
            if validation and epoch >= recipe.epochs // 2:  # the rate is high before
                score = mean_kl(student, at_places(inputs, held_out), answers[held_out])
                if score < best["kl"]:
                    weights = {name: w.clone() for name, w in student.state_dict().items()}
                    best.update(kl=score, weights=weights)
    if best["weights"] is not None:
        student.load_state_dict(best["weights"])


@torch.no_grad()
def mean_kl(student: nn.Module, inputs: Rows, answers: Tensor) -> float:
    """Mean KL(answers || student) in nats, in eval mode; the student's mode is restored.

    Args:
        inputs: (n, *shape), uint8 or float32 in [0, 1], as of `distill`.
        answers: (n, K), rows on the simplex.
    """
    was_training = student.training
    student.eval()
    index = torch.arange(len(answers), device=answers.device)
    step = min(1024, max(16, CHUNK // prod(inputs.shape[1:])))
    total = sum(
        kl(student(as_pixels(rows)), answers.index_select(0, part)).sum()
        for part, rows in batches_of(inputs, index.split(step), answers.device)
    )
    student.train(was_training)
    return float(total) / len(index)


def at_places(rows: Rows, index: Tensor) -> Rows:
    """The rows at (m,) places."""
    return rows[index] if isinstance(rows, Tensor) else PartRows(rows, index.cpu())


def _optimizer(student: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    if recipe.optimizer == "sgd":
        return SGD(
            student.parameters(), lr=recipe.lr, momentum=recipe.momentum,
            weight_decay=recipe.weight_decay, fused=True,
        )  # fmt: skip
    adam = Adam if recipe.optimizer == "adam" else AdamW
    return adam(student.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)


def _scheduler(
    optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """The scheduler of the recipe; its unit is the optimiser step, not the epoch."""
    if recipe.schedule == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps * recipe.epochs))
    every = steps * (recipe.step_epochs if recipe.schedule == "step" else recipe.epochs + 1)
    return torch.optim.lr_scheduler.StepLR(optimizer, max(1, every), recipe.step_decay)


@contextmanager
def seeded(rng: torch.Generator) -> Iterator[None]:
    """Set torch's global state, which dropout draws from, by one draw of `rng`; restore it."""
    seed = int(torch.randint(2**62, (1,), generator=rng, device=rng.device))
    with torch.random.fork_rng(devices=[rng.device] if rng.device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
