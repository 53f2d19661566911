"""Floating-point operations of an attack, counted from its networks and settings, not remembered.

One multiplication with its addition is two operations. Passes through networks are counted, and
nothing else: no optimiser, no loss, no drawing of images, which take a small share.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from clonecost.attacks import Attack
from clonecost.attacks._frugal import Frugal
from clonecost.attacks.black_box_ripper import BlackBoxRipper
from clonecost.attacks.dfme import Dfme
from clonecost.attacks.disguide import Disguide
from clonecost.networks import build, build_generator
from clonecost.types import Shape

BACKWARD = 2  # a backward pass takes about twice its forward pass, to inputs and to weights
BATCH = 2  # rows that are counted: batch norm needs two


@dataclass(frozen=True)
class Operations:
    """Operations of a whole attack, by the arithmetic that they need.

    Attributes:
        exact: in true float32: the passes between which finite differences are taken.
        training: all others, for which TF32 is allowed.
    """

    exact: float
    training: float

    def seconds(self, exact: float, training: float) -> float:
        """The time at these speeds, in operations a second."""
        return self.exact / exact + self.training / training


@dataclass(frozen=True)
class Networks:
    """Operations of one row forward through each network."""

    victim: float
    student: float
    generator: float


@cache
def forward(name: str, shape: Shape, classes: int = 10) -> float:
    """Operations of one row forward through a network of the catalogue."""
    return operations_of(build(name, shape, classes), torch.rand(BATCH, *shape))


@cache
def generated(shape: Shape, latent_dim: int, width: int) -> float:
    """Operations of one image of DFME's generator."""
    network = build_generator(latent_dim, shape, width=width)
    return operations_of(network, torch.randn(BATCH, latent_dim))


def operations_of(network: nn.Module, inputs: torch.Tensor) -> float:
    """Operations of one row forward through a network, from a batch of rows."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        counter = FlopCounterMode(display=False)
        with counter:
            network.eval()(inputs)
    return counter.get_total_flops() / len(inputs)


def count(attack: Attack, networks: Networks, budget: int, scored: list[int]) -> Operations | None:
    """The operations of an attack with this budget; None for one whose loop is not known here.

    Args:
        scored: numbers of rows after which a clone is scored, the last of them the budget.

    Example:
        >>> found = count(Dfme(), Networks(victim=1.0, student=1.0, generator=0.0), 1792, [1792])
        >>> found.exact, found.training  # 512 points twice; 1,280 answers and training passes
        (1024.0, 5120.0)
    """
    victim, student, trained = networks.victim, networks.student, 1 + BACKWARD
    if isinstance(attack, Dfme):
        rounds, size = budget // attack.queries_per_iteration, attack.batch_size
        points = size * attack.generator_steps * (attack.directions + 1)
        images = size * (attack.generator_steps * trained + attack.student_steps)
        answered = size * attack.student_steps
        learnt = size * (attack.student_steps + attack.replay_steps)
        return Operations(
            rounds * points * (victim + student),
            rounds * (images * networks.generator + answered * victim + learnt * trained * student),
        )
    if isinstance(attack, Disguide):
        rounds, size = budget // attack.queries_per_iteration, attack.batch_size
        images = size * (attack.generator_steps * trained + attack.clone_steps)
        # the generator's step needs the clones' gradients to their inputs alone
        through = attack.generator_steps * 2 + (attack.clone_steps + attack.replay_steps) * trained
        return Operations(0.0, rounds * (
            images * networks.generator + size * attack.clone_steps * victim
            + size * attack.clones * through * student
        ))  # fmt: skip
    if isinstance(attack, Frugal):
        surrogates = 2 * (attack.scout_passes * trained + attack.candidates)
        taught = attack.epochs * trained * sum(scored)
        return Operations(0.0, budget * (victim + surrogates * student) + taught * student)
    if isinstance(attack, BlackBoxRipper):
        rows = budget / (1 if attack.reuse == "all" else attack.algorithm.most_rows())
        shown = attack.epochs * trained * rows * sum(scored) / budget
        return Operations(0.0, budget * (victim + networks.generator) + shown * student)
    epochs = getattr(attack, "epochs", None)
    if epochs is None or budget == 0:
        return None
    return Operations(0.0, budget * victim + epochs * trained * sum(scored) * student)


def networks_of(
    attack: Any, victim: str, student: str, shape: Shape, generator: float | None = None
) -> Networks:
    """The networks of an attack on a victim of the catalogue of networks.

    Args:
        generator: operations of one image of a generator that is trained beforehand.
    """
    if generator is None:
        width = getattr(attack, "generator_width", 0)
        generator = generated(shape, attack.latent_dim, width) if width else 0.0
    return Networks(forward(victim, shape), forward(student, shape), generator)
