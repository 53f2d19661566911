"""Knockoff end to end against bare labelling plus bare training.

The floor asks the victim about the same number of rows in the same batches, then takes the same
number of optimiser steps, forward and backward from a given gradient, on batches that lie ready in
memory: no oracle, ledger, gathering of rows, shuffling, loss or schedule. Forward passes over the
rows that the shared recipe holds out belong to it too.

The epochs are fewer than the recipes' 200 and 60, which makes the ledger's share of the whole
larger than it is in an audit.
"""

from collections.abc import Callable

import torch

from benchmarks.measuring import Outcome, in_turns
from benchmarks.stage import (
    CLASSES,
    LENET,
    RESNET,
    Scene,
    descend,
    make_kit,
    make_optimizer,
    make_pool,
    make_victim,
    open_oracle,
)
from clonecost.attacks.base import DeferredClone
from clonecost.attacks.knockoff import PAPER, Knockoff
from clonecost.training.distill import Recipe
from clonecost.types import LabelledInputs, Victim

GOAL = 1.10
RECIPES = {"paper": PAPER, "shared": Recipe()}


def real_run(
    scene: Scene, attack: Knockoff, victim: Victim, pool: LabelledInputs
) -> Callable[[], None]:
    """The attack on a fresh ledger, as a function to be called once a run."""
    kit = make_kit(scene, horizon=len(pool), proxy=pool)

    def whole() -> None:
        with open_oracle(victim, scene.shape, budget=len(pool), keep=True) as oracle:
            *_, clone = attack.run(oracle, kit)
            assert isinstance(clone, DeferredClone)
            clone.make(oracle.spent, kit.branch(oracle.spent))

    return whole


def bare_run(
    scene: Scene, attack: Knockoff, victim: Victim, pool: LabelledInputs
) -> Callable[[], None]:
    """The floor, as a function to be called once a run."""
    recipe = RECIPES[attack.recipe]
    epochs = attack.epochs or recipe.epochs
    pixels = pool.rows(slice(None))
    aside = int(recipe.validation * len(pool))
    held_out, training = pixels[:aside], pixels[aside:].split(recipe.batch_size)
    questions = pixels.split(attack.batch_size)
    upstream = torch.randn(recipe.batch_size, CLASSES) / recipe.batch_size

    def whole() -> None:
        for x in questions:
            victim(x)
        student = make_kit(scene, horizon=len(pool)).new_student()
        optimizer = make_optimizer(student, recipe)
        for epoch in range(epochs):
            student.train()
            for x in training:
                descend(student, x, upstream[: len(x)])
                optimizer.step()
            if aside and epoch >= epochs // 2:
                student.eval()
                with torch.no_grad():
                    for x in held_out.split(1024):
                        student(x)

    return whole


def run(*, quick: bool, toy: bool = False) -> Outcome:
    """`toy` is for a test: the numbers mean nothing."""
    outcome = Outcome("knockoff", "Knockoff: end to end against bare labelling and training")
    turns = 1 if toy else 2 if quick else 5
    cases: list[tuple[Scene, Knockoff, int]] = [
        (LENET, Knockoff(epochs=15), 2_000),
        (LENET, Knockoff(recipe="shared", epochs=15), 2_000),
        (RESNET, Knockoff(epochs=2), 768),
    ]
    if toy:
        cases = [(LENET, Knockoff(recipe="shared", epochs=1, batch_size=16), 32)]
    for scene, attack, rows in cases[:2] if quick else cases:
        victim, pool = make_victim(scene), make_pool(scene, rows)
        pair = in_turns(
            real_run(scene, attack, victim, pool),
            bare_run(scene, attack, victim, pool),
            turns=turns,
        )
        case = f"{scene.name}, {attack.recipe} recipe, {rows:,} rows, {attack.epochs} epochs"
        outcome.rows.append(pair.row(case, GOAL))
    return outcome
