"""The recipe that suits a student, and the one call that trains it by any recipe."""

from copy import deepcopy
from dataclasses import replace

import torch
from torch import Tensor, nn

from clonecost.errors import SetKey, SpecError
from clonecost.networks.pretrained import Pretrained, Start, start_of
from clonecost.persistence.resumable_loop import Loop, plain
from clonecost.training.distill import Recipe, at_places, distill, mean_kl
from clonecost.training.fine_tune import WAYS, FineTune, fine_tune
from clonecost.training.losses import TEMPERATURES
from clonecost.types import Progress, Rows, answered, no_progress

NEED_BACKBONE = ("fine_tune", "linear_probe")  # recipes of attacks, by their setting `recipe`
SHORT = 4  # a training of the sweep has this part of the recipe's epochs
HELD_OUT = 0.1  # share of the rows by which the temperature is chosen


def shared_recipe(student: nn.Module, epochs: int | None = None) -> Recipe | FineTune:
    """clonecost's own recipe for a student: by whether it starts from weights of others.

    Args:
        epochs: of its training, at its own size; None: those of the recipe.

    Example:
        >>> shared_recipe(nn.Linear(2, 2)).epochs
        60
    """
    return recipe_from(start_of(student), epochs)


def recipe_from(start: Start, epochs: int | None = None) -> Recipe | FineTune:
    """The `shared_recipe` of a student that is known by its start only."""
    found = Recipe() if start == "scratch" else FineTune()
    return found if epochs is None else replace(found, epochs=epochs)


def passes_of(recipe: Recipe | FineTune, start: Start) -> int:
    """How often a row goes through a student in its training, all that is tried out included.

    Example:
        >>> passes_of(Recipe(epochs=8, temperature="sweep"), "scratch")
        16
    """
    swept = len(TEMPERATURES) * (recipe.temperature == "sweep")
    if isinstance(recipe, Recipe):
        return recipe.epochs + swept * _short(recipe)
    features = 1
    if start == "frozen" or not recipe.passes:
        return features
    ways = len(WAYS) if recipe.augment == "probe" else 1
    return features + swept + ways * recipe.passes


def _short(recipe: Recipe) -> int:
    """Epochs of a training of the sweep."""
    return max(1, recipe.epochs // SHORT)


def train(
    student: nn.Module, inputs: Rows, answers: Tensor, recipe: Recipe | FineTune, *,
    rng: torch.Generator, progress: Progress = no_progress, loop: Loop = plain,
) -> None:  # fmt: skip
    """Train `student` in place by the recipe: `distill`, or `fine_tune` for a pretrained one.

    Args:
        inputs: (n, *shape), uint8 or pixels in [0, 1], as of `distill`.
        answers: (n, K), rows on the simplex; rows without an answer, all zeros, take no part.
        rng: draws everything that is random.

    Raises:
        SpecError: the recipe is for a pretrained student, and this one has no such weights.
    """
    if isinstance(recipe, FineTune):
        if not isinstance(student, Pretrained):
            raise no_backbone()
        fine_tune(student, inputs, answers, recipe, rng=rng, progress=progress, loop=loop)
        return
    if recipe.temperature == "sweep":
        found = best_temperature(student, inputs, answers, recipe, rng=rng, progress=progress)
        recipe = replace(recipe, temperature=found)
    distill(student, inputs, answers, recipe, rng=rng, progress=progress, loop=loop)


def no_backbone() -> SpecError:
    """The error for a recipe of fine-tuning and a student without a backbone, not raised."""
    return SpecError(
        "Fine-tuning and linear probing need a student with a backbone and a new last layer",
        SetKey("student", "backbone:efficientnet-lite0"),
    )


def best_temperature(
    student: nn.Module, inputs: Rows, answers: Tensor, recipe: Recipe, *,
    rng: torch.Generator, progress: Progress = no_progress,
) -> float:  # fmt: skip
    """The T of `TEMPERATURES` whose short training has the lowest KL on a held-out tenth.

    All start from the same weights and see the same batches. The rows were paid for; no test row
    takes part. The student stays as it is.
    """
    told = answered(answers).nonzero().flatten()
    order = told[torch.randperm(len(told), generator=rng, device=rng.device).to(told.device)]
    held, rest = order.split([int(HELD_OUT * len(order)), len(order) - int(HELD_OUT * len(order))])
    if not len(held):
        return TEMPERATURES[0]
    seed = int(torch.randint(2**62, (1,), generator=rng, device=rng.device))
    short = replace(recipe, epochs=_short(recipe), validation=0.0)
    found: dict[float, float] = {}
    for done, temperature in enumerate(TEMPERATURES, start=1):
        copy = deepcopy(student)
        distill(
            copy, at_places(inputs, rest), answers[rest], replace(short, temperature=temperature),
            rng=torch.Generator(rng.device).manual_seed(seed),
        )  # fmt: skip
        found[temperature] = mean_kl(copy, at_places(inputs, held), answers[held])
        progress("choosing the temperature", done, len(TEMPERATURES))
    return min(found, key=lambda one: found[one])
