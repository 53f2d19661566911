"""Searching a generator's latents for images that a victim answers as wished, many at once.

Barbalau, Cosma, Ionescu, Popescu, NeurIPS 2020, https://arxiv.org/abs/2010.11158, Algorithm 1:

    P <- K latents ~ U(-u, u)                              a population for the target answer y
    while min over P of V(p) >= t:       V(p) = sum_i (T(G(p))_i - y_i)^2
        P_e <- the k fittest of P
        P_c <- K - k copies, each of a random member of P_e, + N(0, 1)
        P   <- P_e and P_c

`Search` runs it in many slots side by side. It asks nobody anything: `ask` gives latents and `tell`
takes what came of them, so generator, victim and meter stay with the attack. What was asked before
is never asked again: the elite keeps its fitness, so a generation costs K - k rows and the first
one K. A finished slot begins with the next target at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from clonecost.query_synthesis.counter_rng import below, normal, stream_keys, symmetric

Targets = Callable[
    [Tensor], Tensor
]  # (n,) numbers of targets, int64 -> (n, classes) on the simplex
START, PARENT, MUTATION = 0, 1, 2  # what a stream of random numbers is for


@dataclass(frozen=True, kw_only=True)
class Algorithm:
    """The constants of Algorithm 1, by the letters that it gives them."""

    population: int = 30  # K
    elite: int = 10  # k
    bound: float = 3.0  # u
    mutation: float = 1.0  # standard deviation of the noise
    children: Literal["uniform", "evenly"] = "uniform"  # evenly: the elite takes turns as parents
    stop: Literal["fitness", "probability"] = "fitness"
    threshold: float = 0.02  # t: the search ends at a fitness below
    confidence: float = 0.9  # or, by probability, as soon as the target's class has this much
    max_generations: int = 10  # the first population is one

    def most_rows(self) -> int:
        """What a target costs at most."""
        return self.population + (self.max_generations - 1) * (self.population - self.elite)


class Asked(NamedTuple):
    """What `tell` wants to know of, a row each."""

    latents: Tensor  # (n, latent_dim)
    classes: Tensor  # (n,) int64: of the target that the row is for


@dataclass(frozen=True)
class Standing:
    """Where searches stand, one a row: the fittest that each has seen so far."""

    numbers: Tensor  # (n,) int64 on the CPU: which target
    generations: Tensor  # (n,) int64 on the CPU: told so far
    reached: Tensor  # (n,) bool on the CPU: the stop rule is met
    finished: Tensor  # (n,) bool on the CPU: reached, or out of generations
    classes: Tensor  # (n,) int64: the likeliest one of the target
    images: Tensor  # (n, *shape), as they were told
    answers: Tensor  # (n, classes)
    fitness: Tensor  # (n,)

    def where(self, rows: Tensor) -> "Standing":
        """Some of the rows: (n,) bool on the CPU."""
        index = rows.nonzero()[:, 0]
        return Standing(**{
            name: part[index.to(part.device)] for name, part in vars(self).items()
        })  # fmt: skip


def fitness(answers: Tensor, targets: Tensor) -> Tensor:
    """V = sum_i (p_i - y_i)^2, in [0, 2]; the smaller the fitter. (n, K), (n, K) -> (n,)."""
    return (answers - targets).square().sum(1)


def one_class(num_classes: int) -> Targets:
    """Target i wants all probability on class i mod K, so that classes are exactly balanced."""
    return lambda numbers: F.one_hot(numbers % num_classes, num_classes).float()


class Search:
    """Algorithm 1 in `slots` slots at once, for the targets 0, 1, 2, ... in this order.

    How a target's search goes is a function of the seed and its number alone: random numbers are
    drawn by counter (seed, target, generation, individual, dimension). It depends neither on the
    number of slots nor on what runs in the others, as far as generator and victim treat rows apart.

    Args:
        targets: the answers that are wanted.
        latent_dim: of the generator.
        device: of latents, images and answers.
    """

    def __init__(
        self, algorithm: Algorithm, targets: Targets, *, slots: int, latent_dim: int, seed: int,
        device: torch.device,
    ) -> None:  # fmt: skip
        self.algorithm, self._targets, self._seed = algorithm, targets, seed
        self._device, self._begun = device, slots
        size = algorithm.population
        # What is decided on the host lives there: a generation makes it wait for one copy only.
        self._numbers = torch.arange(slots)
        self._generations = torch.zeros(slots, dtype=torch.int64)
        self._point_at_new(torch.ones(slots, dtype=torch.bool))
        self._latents = torch.zeros(slots, size, latent_dim, device=device)  # the elite comes first
        self._fitness = torch.full((slots, size), torch.inf, device=device)
        self._best: tuple[Tensor, Tensor] | None = None  # images and answers, a slot each

    def ask(self) -> Asked:
        """The rows whose answers `tell` wants next, by slot; no slot's elite is among them.

        Asked again before it is told, it gives the same.
        """
        algorithm, dim = self.algorithm, self._latents.shape[2]
        slots, members = self._new
        numbers, generations = (
            part.to(self._device)[slots] for part in (self._numbers, self._generations)
        )
        row = (numbers, generations, members)
        fresh = symmetric(stream_keys(self._seed, START, *row), dim) * algorithm.bound
        if algorithm.children == "evenly":
            parents = (members - algorithm.elite) % algorithm.elite
        else:
            parents = below(stream_keys(self._seed, PARENT, *row), algorithm.elite)
        noise = normal(stream_keys(self._seed, MUTATION, *row), dim) * algorithm.mutation
        children = self._latents[slots, parents] + noise
        latents = torch.where(generations[:, None] == 0, fresh, children)
        self._latents[self._new] = latents
        return Asked(latents, self._targets(numbers).argmax(1))

    def tell(self, images: Tensor, answers: Tensor) -> Standing:
        """Take in what came of the rows of `ask`: (n, *shape) of any type, and (n, classes).

        Returns where every slot stands. The finished ones have been given new targets since.
        """
        targets = self._targets(self._numbers.to(self._device))
        self._fitness[self._new] = fitness(answers, targets[self._new[0]])
        rows = torch.full(self._fitness.shape, -1, device=self._device)
        rows[self._new] = torch.arange(len(images), device=self._device)
        self._fitness, order = self._fitness.sort(
            dim=1, stable=True
        )  # of two equals the elder stays
        self._latents = self._latents.gather(1, order[:, :, None].expand_as(self._latents))
        self._keep_best(rows.gather(1, order[:, :1])[:, 0], images, answers)
        self._generations = self._generations + 1
        standing = self._standing(targets)
        self._refill(standing.finished)
        return standing

    def state_dict(self) -> dict[str, Any]:
        """Where all slots are, after a `tell`."""
        return {
            "begun": self._begun, "numbers": self._numbers, "generations": self._generations,
            "new": self._new, "latents": self._latents, "fitness": self._fitness,
            "best": self._best,
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._begun, self._numbers = state["begun"], state["numbers"]
        self._generations, self._new = state["generations"], state["new"]
        self._latents, self._fitness = state["latents"], state["fitness"]
        self._best = state["best"]

    def _keep_best(self, rows: Tensor, images: Tensor, answers: Tensor) -> None:
        """`rows` (slots,): which new row is now a slot's fittest; -1: it is still an old one."""
        at = rows.clamp_min(0)
        if self._best is None:  # all slots have just begun
            self._best = images[at], answers[at]
            return
        had = rows < 0
        of_images = had.view(-1, *[1] * (images.ndim - 1))
        old_images, old_answers = self._best
        self._best = (
            torch.where(of_images, old_images, images[at]),
            torch.where(had[:, None], old_answers, answers[at]),
        )

    def _standing(self, targets: Tensor) -> Standing:
        assert self._best is not None
        images, answers = self._best
        classes, best = targets.argmax(1), self._fitness[:, 0].clone()
        if self.algorithm.stop == "fitness":
            met = best < self.algorithm.threshold
        else:
            met = answers.gather(1, classes[:, None])[:, 0] >= self.algorithm.confidence
        reached = met.cpu()  # the one thing that the host waits for
        return Standing(
            numbers=self._numbers, generations=self._generations, reached=reached,
            finished=reached | (self._generations >= self.algorithm.max_generations),
            classes=classes, images=images, answers=answers, fitness=best,
        )  # fmt: skip

    def _refill(self, finished: Tensor) -> None:
        """The next targets for the finished slots."""
        following = torch.arange(self._begun, self._begun + int(finished.sum()))
        self._begun += len(following)
        self._numbers = self._numbers.masked_scatter(finished, following)
        self._generations = self._generations.masked_fill(finished, 0)
        self._point_at_new(finished)

    def _point_at_new(self, fresh: Tensor) -> None:
        """The next generation's new rows: all of a fresh slot, else what is not the elite."""
        children = torch.arange(self.algorithm.population) >= self.algorithm.elite
        slots, members = (fresh[:, None] | children).nonzero().to(self._device).unbind(1)
        self._new = slots, members
