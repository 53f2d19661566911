"""Evolutionary search of a generator's latents for images with a target answer, many at once.

Barbalau, Cosma, Ionescu, Popescu, NeurIPS 2020, https://arxiv.org/abs/2010.11158, Algorithm 1:

    P <- K latents ~ U(-u, u)                              a population for the target answer y
    while min over P of V(p) >= t:       V(p) = sum_i (T(G(p))_i - y_i)^2
        P_e <- the k fittest of P
        P_c <- K - k copies, each of a random member of P_e, + N(0, 1)
        P   <- P_e and P_c

`Search` runs it in many slots in parallel, with the ask-and-tell interface: `ask` returns latents,
`tell` takes their images and answers, and the attack itself generates and queries. The elite keeps
its fitness and is not queried again, so that a generation costs K - k queries, the first one K. A
finished slot starts with the next target.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from clonecost.query_synthesis.counter_rng import below, normal, stream_keys, symmetric

# (n,) numbers of targets, int64 -> (n, classes) target answers on the simplex
Targets = Callable[[Tensor], Tensor]
START, PARENT, MUTATION = 0, 1, 2  # purposes of the streams of random numbers


@dataclass(frozen=True, kw_only=True)
class Algorithm:
    """The constants of Algorithm 1; the comments give its letters."""

    population: int = 30  # K
    elite: int = 10  # k
    bound: float = 3.0  # u
    mutation: float = 1.0  # standard deviation of the noise
    children: Literal["uniform", "evenly"] = "uniform"  # evenly: each of the elite in turn
    stop: Literal["fitness", "probability"] = "fitness"
    threshold: float = 0.02  # t: the search ends below this fitness
    confidence: float = 0.9  # or at this probability of the target's class
    max_generations: int = 10  # the first population counts as one

    def most_rows(self) -> int:
        """The largest number of queries for one target."""
        return self.population + (self.max_generations - 1) * (self.population - self.elite)


class Candidates(NamedTuple):
    """The rows whose answers `tell` needs."""

    latents: Tensor  # (n, latent_dim)
    classes: Tensor  # (n,) int64: the class of each row's target


@dataclass(frozen=True)
class SearchStatus:
    """The state of searches, one per row, with the fittest image so far."""

    numbers: Tensor  # (n,) int64 on the CPU: number of the target
    generations: Tensor  # (n,) int64 on the CPU: generations so far
    reached: Tensor  # (n,) bool on the CPU: the stop rule is met
    finished: Tensor  # (n,) bool on the CPU: reached, or out of generations
    classes: Tensor  # (n,) int64: the target's most probable class
    images: Tensor  # (n, *shape), as given to `tell`
    answers: Tensor  # (n, classes)
    fitness: Tensor  # (n,)

    def where(self, rows: Tensor) -> "SearchStatus":
        """The selected rows; `rows` is (n,) bool on the CPU."""
        index = rows.nonzero()[:, 0]
        return SearchStatus(**{
            name: part[index.to(part.device)] for name, part in vars(self).items()
        })  # fmt: skip


def fitness(answers: Tensor, targets: Tensor) -> Tensor:
    """V = sum_i (p_i - y_i)^2, in [0, 2], smaller is fitter: (n, K), (n, K) -> (n,)."""
    return (answers - targets).square().sum(1)


def one_class(num_classes: int) -> Targets:
    """Target i has all probability on class i mod K, so that classes are exactly balanced.

    Example:
        >>> one_class(2)(torch.tensor([0, 3]))
        tensor([[1., 0.],
                [0., 1.]])
    """
    return lambda numbers: F.one_hot(numbers % num_classes, num_classes).float()


class Search:
    """Algorithm 1 in `slots` slots at once, for the targets 0, 1, 2, ... in this order.

    A search depends on the seed and the target's number only: random numbers are drawn by counter
    (seed, target, generation, individual, dimension). The number of slots and the other searches do
    not matter, provided that generator and victim treat rows independently.

    Args:
        targets: number of a target -> its target answer.
        slots: searches that run in parallel.
        latent_dim: of the generator.
        seed: of all random numbers.
        device: of latents, images and answers.

    Example:
        >>> cpu = torch.device("cpu")
        >>> search = Search(Algorithm(), one_class(10), slots=2, latent_dim=4, seed=0, device=cpu)
        >>> search.ask().latents.shape  # two first populations of 30
        torch.Size([60, 4])
    """

    def __init__(
        self, algorithm: Algorithm, targets: Targets, *, slots: int, latent_dim: int, seed: int,
        device: torch.device,
    ) -> None:  # fmt: skip
        self.algorithm, self._targets, self._seed = algorithm, targets, seed
        self._device, self._started = device, slots
        size = algorithm.population
        # the host's decisions use tensors on the host: a generation waits for one copy only
        self._numbers = torch.arange(slots)
        self._generations = torch.zeros(slots, dtype=torch.int64)
        self._point_at_new(torch.ones(slots, dtype=torch.bool))
        self._latents = torch.zeros(slots, size, latent_dim, device=device)  # the elite comes first
        self._fitness = torch.full((slots, size), torch.inf, device=device)
        self._best: tuple[Tensor, Tensor] | None = None  # images and answers, a slot each

    def ask(self) -> Candidates:
        """The rows whose answers `tell` needs next, by slot, without the elites.

        A second call before `tell` returns the same rows.
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
        return Candidates(latents, self._targets(numbers).argmax(1))

    def tell(self, images: Tensor, answers: Tensor) -> SearchStatus:
        """Take the images (n, *shape), of any type, and the answers (n, classes) of `ask`'s rows.

        Returns the status of every slot before finished slots start with new targets.
        """
        targets = self._targets(self._numbers.to(self._device))
        self._fitness[self._new] = fitness(answers, targets[self._new[0]])
        rows = torch.full(self._fitness.shape, -1, device=self._device)
        rows[self._new] = torch.arange(len(images), device=self._device)
        # stable: on a tie the older one stays
        self._fitness, order = self._fitness.sort(dim=1, stable=True)
        self._latents = self._latents.gather(1, order[:, :, None].expand_as(self._latents))
        self._keep_best(rows.gather(1, order[:, :1])[:, 0], images, answers)
        self._generations = self._generations + 1
        status = self._status(targets)
        self._refill(status.finished)
        return status

    def state_dict(self) -> dict[str, Any]:
        """The state of all slots, after a `tell`."""
        return {
            "begun": self._started, "numbers": self._numbers, "generations": self._generations,
            "new": self._new, "latents": self._latents, "fitness": self._fitness,
            "best": self._best,
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._started, self._numbers = state["begun"], state["numbers"]
        self._generations, self._new = state["generations"], state["new"]
        self._latents, self._fitness = state["latents"], state["fitness"]
        self._best = state["best"]

    def _keep_best(self, rows: Tensor, images: Tensor, answers: Tensor) -> None:
        """`rows` (slots,): the new row that is a slot's fittest; -1: an older one still is."""
        at = rows.clamp_min(0)
        if self._best is None:  # the first generation of all slots
            self._best = images[at], answers[at]
            return
        keeps = rows < 0
        keeps_image = keeps.view(-1, *[1] * (images.ndim - 1))
        old_images, old_answers = self._best
        self._best = (
            torch.where(keeps_image, old_images, images[at]),
            torch.where(keeps[:, None], old_answers, answers[at]),
        )

    def _status(self, targets: Tensor) -> SearchStatus:
        assert self._best is not None
        images, answers = self._best
        classes, best = targets.argmax(1), self._fitness[:, 0].clone()
        if self.algorithm.stop == "fitness":
            met = best < self.algorithm.threshold
        else:
            met = answers.gather(1, classes[:, None])[:, 0] >= self.algorithm.confidence
        reached = met.cpu()  # the only copy that the host waits for
        return SearchStatus(
            numbers=self._numbers, generations=self._generations, reached=reached,
            finished=reached | (self._generations >= self.algorithm.max_generations),
            classes=classes, images=images, answers=answers, fitness=best,
        )  # fmt: skip

    def _refill(self, finished: Tensor) -> None:
        """Give the finished slots the next targets."""
        numbers = torch.arange(self._started, self._started + int(finished.sum()))
        self._started += len(numbers)
        self._numbers = self._numbers.masked_scatter(finished, numbers)
        self._generations = self._generations.masked_fill(finished, 0)
        self._point_at_new(finished)

    def _point_at_new(self, fresh: Tensor) -> None:
        """Mark the next generation's new rows: all of a fresh slot, else all but the elite."""
        children = torch.arange(self.algorithm.population) >= self.algorithm.elite
        slots, members = (fresh[:, None] | children).nonzero().to(self._device).unbind(1)
        self._new = slots, members
