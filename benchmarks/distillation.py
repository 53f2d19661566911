"""One step of `distill` against bare forward, backward and optimiser step on a batch that is ready.

What is above the floor: gathering the rows, bytes to floats, augmentation, the loss, the schedule.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from benchmarks.measuring import Outcome, Paired, in_turns
from benchmarks.stage import (
    CLASSES,
    LENET,
    Scene,
    descend,
    make_kit,
    make_optimizer,
    make_pool,
)
from clonecost.attacks.knockoff import PAPER
from clonecost.training.distill import Recipe, distill

SHARED = Recipe(validation=0.0)
CASES = {
    "batch 64, SGD": PAPER,
    "batch 128, AdamW, not augmented": replace(SHARED, augment="none"),
    "batch 128, AdamW, shifted": SHARED,
}


def real_epoch(scene: Scene, recipe: Recipe, inputs: Tensor, answers: Tensor) -> Callable[[], None]:
    kit = make_kit(scene, horizon=len(inputs))
    student = kit.new_student()
    return lambda: distill(student, inputs, answers, replace(recipe, epochs=1), rng=kit.rng)


def bare_epoch(scene: Scene, recipe: Recipe, inputs: Tensor) -> Callable[[], None]:
    student = make_kit(scene, horizon=len(inputs)).new_student()
    optimizer = make_optimizer(student, recipe)
    upstream = torch.randn(recipe.batch_size, CLASSES) / recipe.batch_size

    def epoch() -> None:
        for x in inputs.split(recipe.batch_size):
            descend(student, x, upstream[: len(x)])
            optimizer.step()

    return epoch


def run(*, quick: bool, toy: bool = False) -> Outcome:
    """`toy` is for a test: the numbers mean nothing."""
    outcome = Outcome("distillation", "Distillation: one step against its bare network passes")
    steps, turns = (1, 1) if toy else (40, 4 if quick else 15)
    for case, recipe in CASES.items():
        pool = make_pool(LENET, steps * recipe.batch_size)
        answers = torch.rand(len(pool), CLASSES).softmax(1)
        pair = in_turns(
            real_epoch(LENET, recipe, pool.inputs, answers),
            bare_epoch(LENET, recipe, pool.rows(slice(None))),
            turns=turns,
        )
        a_step = Paired([s / steps for s in pair.ours], [s / steps for s in pair.floor])
        outcome.rows.append(a_step.row(f"half-LeNet, 1x32x32, {case}"))
    return outcome
