"""Toys with known answers, so that tests run in seconds on a CPU."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from clonecost.attacks import ATTACKS, Attack
from clonecost.audit import Audit
from clonecost.generators import TrainedGenerator
from clonecost.generators.base import standard_normal
from clonecost.tabular.features import uniform_rows
from clonecost.tabular.models import LinearModel
from clonecost.types import Feature, Victim
from clonecost.victims import sklearn_victim
from clonecost.victims.zoo.estimators import CountedTree

SHAPE, CLASSES, BUDGET = (1, 8, 8), 3, 1_500

# A new attack is tested by being listed in ATTACKS, with settings for the toy here if it needs any.
SMALL: dict[str, dict[str, object]] = {
    "active_thief": {"recipe": "shared", "epochs": 8, "round_epochs": 3, "seed_rows": 300,
                     "round_rows": 400, "candidates": 1_000, "deepfool_steps": 2},
    "black_box_ripper": {"generator": "toy", "population": 12, "elite": 4, "threshold": 0.1,
                         "max_generations": 4, "slots": 8, "reuse": "all", "loss": "kl",
                         "epochs": 8, "batch_size": 32},
    "copycat": {"recipe": "shared", "epochs": 8},
    "degan": {"gan_epochs": 1, "gan_batch": 80, "gan_width": 4, "batches": 20, "epochs": 6,
              "validation_batches": 5, "patience": 2, "batch_size": 32},
    "dfme": {"batch_size": 32, "latent_dim": 8, "student_steps": 4, "generator_width": 8,
             "generator_lr": 1e-3, "student_lr": 0.02},
    "dfms": {"batch_size": 8, "gan_width": 4, "gan_epochs": 2, "div_gan_epochs": 1,
             "augment": False, "before": 0.5, "proxy_rows": 80_000, "generated_rows": 20_000,
             "pretraining_epochs": 30, "clone_lr": 0.05, "choose_every": 300},
    "disguide": {"batch_size": 32, "latent_dim": 8, "generator_width": 8, "generator_lr": 1e-3},
    # with five student steps, its default, the budget would hold nine iterations
    "dual_students": {"batch_size": 32, "latent_dim": 8, "generator_width": 8,
                      "generator_lr": 1e-3, "student_steps": 1},
    "ex_nihilo": {"round_size": 100, "epochs": 8, "batch_size": 32},
    "frugal_ripper": {"round_size": 100, "epochs": 8, "batch_size": 32},
    "ideal": {"batch_size": 50, "latent_dim": 16, "generator_width": 8, "generator_steps": 10,
              "student_steps": 40, "student_batch": 32, "student_lr": 0.05},
    "jbda": {"seeds": 100, "epochs": 5, "batch_size": 32},
    "knockoff": {"recipe": "shared", "epochs": 8},
    "knockoff_adaptive": {"recipe": "shared", "epochs": 8, "batch_size": 50, "window": 200},
    "marich": {"seed_rows": 300, "round_rows": 400, "candidates": 1_000, "round_epochs": 3},
    "maze": {"batch_size": 16, "latent_dim": 8, "directions": 2, "clone_steps": 3,
             "generator_width": 8, "generator_lr": 1e-3, "student_lr": 0.02},
    # as many seeds as an iteration has rows: what it spends is still whole iterations
    "maze_pd": {"batch_size": 16, "latent_dim": 8, "directions": 2, "clone_steps": 3,
                "generator_width": 8, "generator_lr": 1e-3, "student_lr": 0.02, "seeds": 80},
    "maze_star": {"batch_size": 16, "latent_dim": 8, "directions": 2, "student_steps": 4,
                  "generator_width": 8, "generator_lr": 1e-3, "student_lr": 0.02},
    "zskd": {"impressions": 1_200, "steps": 40, "impression_lr": 0.05, "epochs": 12,
             "augment": False},
    # more rows for each unknown than the budget holds: it is spent to the end
    "tramer_lr": {"alpha": 1_000.0},
    "tramer_mlp": {"alpha": 1_000.0, "hidden": 4, "iterations": 60},
    "tramer_kernel_lr": {"alpha": 1_000.0, "representers": 6, "iterations": 60},
}  # fmt: skip


class Counting:
    """The tripwire: counts every row that truly reaches the victim, and remembers it."""

    def __init__(self, victim: Victim, fail_at: int | None = None) -> None:
        self.victim, self.fail_at, self.seen = victim, fail_at, 0
        self.rows: list[bytes] = []

    def __call__(self, inputs: Tensor, /) -> Tensor:
        if self.fail_at is not None and self.seen + len(inputs) > self.fail_at:
            raise ConnectionError("the API went away")
        self.seen += len(inputs)
        self.rows += [row.numpy().tobytes() for row in inputs]
        return self.victim(inputs)


def toy_student() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, CLASSES)
    )


def toy_generator(shape: tuple[int, ...] = SHAPE) -> TrainedGenerator:
    """Reaches every image: a pixel is the sigmoid of a latent of its own."""
    return TrainedGenerator(
        name="toy", proxy="noise", image_shape=shape, latent_dim=math.prod(shape), weights="toy",
        network=nn.Unflatten(1, shape).eval(), device=torch.device("cpu"),
        to_images=lambda network, latents: network(latents).sigmoid(), draw=standard_normal,
    )  # fmt: skip


def toy_attack(name: str) -> Attack:
    return ATTACKS[name](**SMALL.get(name, {}))


@dataclass(frozen=True)
class TableToy:
    """A table with a known model behind it."""

    features: tuple[Feature, ...]
    classes: int
    answer: Victim
    incomplete: bool = False  # rows with missing values are answered


def numbers(count: int) -> tuple[Feature, ...]:
    """Features of different ranges."""
    return tuple(Feature(name=f"n{k}", low=-1 - k % 3, high=1 + k % 2) for k in range(count))


COLOUR = Feature(name="colour", categories=("red", "green", "blue"))


def linear_toy(features: tuple[Feature, ...], classes: int) -> TableToy:
    """Softmax regression that answers in float64, as an estimator does."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = LinearModel(features, classes)
        with torch.no_grad():
            model.linear.weight.normal_()
            model.linear.bias.normal_(std=0.1)
    return TableToy(features, classes, lambda rows: model(rows).softmax(1).detach())


def tree_toy(features: tuple[Feature, ...], leaves: int = 60) -> TableToy:
    """A tree whose nodes have answers of their own."""
    rows = uniform_rows(features, 2_000, torch.Generator().manual_seed(3)).double()
    labels = (3 * (rows[:, 0] * rows[:, 1] + rows[:, 2]).sin()).round().long() % CLASSES
    tree = CountedTree(leaves, 0).fit(rows.numpy(), labels.numpy())
    return TableToy(features, CLASSES, sklearn_victim(tree), incomplete=True)


# The victim of an attack on tables is of the kind that it solves for.
TABLE_TOYS: dict[str, Callable[[], TableToy]] = {
    "lowd_meek": lambda: linear_toy(numbers(60), 2),
    "tramer_adaptive_retrain": lambda: linear_toy((*numbers(6), COLOUR), CLASSES),
    "tramer_kernel_lr": lambda: linear_toy(numbers(4), CLASSES),
    "tramer_lr": lambda: linear_toy((*numbers(6), COLOUR), CLASSES),
    "tramer_mlp": lambda: linear_toy(numbers(6), CLASSES),
    "tramer_tree": lambda: tree_toy((*numbers(6), COLOUR)),
    "tramer_tree_top_down": lambda: tree_toy((*numbers(6), COLOUR)),
}


MakeAudit = Callable[..., Audit]
