"""Black-Box Ripper: evolves a generator's latents until the victim is confident, then distils.

Barbalau, Cosma, Ionescu, Popescu, NeurIPS 2020, https://arxiv.org/abs/2010.11158.

    0. G is trained on the proxy data                                     no query
    1. y = the next class in turn; x = G(p*) with p* from Algorithm 1     K + (g - 1) (K - k) rows
       (`clonecost.query_synthesis.evolution`), which takes g generations
    2. min over S of the mean of  || S(x) - T(x) ||                       from scratch

Differs from the paper: see docs/attacks/black_box_ripper.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from clonecost.attacks.base import (
    AttackerKit,
    Clone,
    Declaration,
    DeferredClone,
    at_least,
    out_of_range,
)
from clonecost.oracle import Oracle
from clonecost.query_synthesis.evolution import Algorithm, Search, one_class
from clonecost.query_synthesis.search_log import SearchLog
from clonecost.training.distill import Recipe, distill
from clonecost.training.losses import StudentLoss
from clonecost.types import Purpose, as_bytes, as_pixels

Rows = tuple[Tensor, Tensor]  # images as uint8, answers
RANDOM_BATCH = 1024  # rows per call of the victim, without evolution
LEAST_ROWS = 2  # batch norm needs more than one


@dataclass(frozen=True, kw_only=True)
class BlackBoxRipper:
    """Searches latents for images that the victim assigns to each class in turn, then distils.

    Example:
        >>> BlackBoxRipper(generator="vae", max_generations=5, reuse="all")
    """

    generator: str = "sngan-small"  # name of a trained generator, or its folder
    evolve: bool = True  # False: random latents ~ U(-u, u), one query each
    population: int = 30  # K, latents of one search
    elite: int = 10  # k, latents that a generation keeps as parents
    bound: float = 3.0  # u, the first latents are drawn from U(-u, u)
    mutation: float = 1.0  # standard deviation of a child's noise
    # selection of parents: uniformly at random, or each in turn
    children: Literal["uniform", "evenly"] = "uniform"
    # quantity that ends a search: the fitness, or the victim's probability of the class
    stop: Literal["fitness", "probability"] = "fitness"
    threshold: float = 0.02  # t, a search ends when the least fitness is below
    confidence: float = 0.9  # probability that ends a search with stop = "probability"
    max_generations: int = 10  # generations of a search; the first population is one
    slots: int = 64  # parallel searches; fewer if the budget is small
    low_precision: bool = False  # the generator computes in bfloat16
    # rows that train the student: the images found, or every bought row
    reuse: Literal["evolved", "all"] = "evolved"
    loss: StudentLoss = "l2"  # loss of the student on the victim's answers
    epochs: int = 200  # epochs of the student
    batch_size: int = 64  # rows of a training batch
    lr: float = 1e-3  # learning rate of Adam

    declares: ClassVar = Declaration(needs="probs", by_settings=("generators",))

    def __post_init__(self) -> None:
        at_least(1, self, "population", "elite", "max_generations", "slots", "epochs", "batch_size")
        at_least(0, self, "bound", "mutation", "threshold", "confidence", "lr")
        if self.elite >= self.population:
            raise out_of_range(self, "elite", f"less than the population, {self.population}")

    @property
    def generators(self) -> tuple[str, ...]:
        return (self.generator,)

    @property
    def algorithm(self) -> Algorithm:
        if not self.evolve:  # a population of one, of one generation
            return Algorithm(population=1, elite=1, bound=self.bound, max_generations=1)
        return Algorithm(
            population=self.population, elite=self.elite, bound=self.bound, mutation=self.mutation,
            children=self.children, stop=self.stop, threshold=self.threshold,
            confidence=self.confidence, max_generations=self.max_generations,
        )  # fmt: skip

    @property
    def purpose(self) -> Purpose:
        """The purpose of all rows; which of them train the student is known only later."""
        return "search" if self.evolve and self.reuse == "evolved" else "training"

    def plan(self, budget: int) -> str:
        then = f"then trains each scored clone for {self.epochs} epochs"
        if not self.evolve:
            return f"queries {budget:,} images of {self.generator} at random, {then}"
        most = self.algorithm.most_rows()
        return (
            f"evolves at least {budget // most:,} images of {self.generator} for "
            f"{self.population} to {most} queries each, {then}"
        )

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[Clone]:
        classes = oracle.threat.num_classes
        generator = kit.trained_generator(self.generator)
        generator = replace(generator, low_precision=self.low_precision)
        search = Search(
            self.algorithm, one_class(classes), slots=self.slots_for(kit.horizon),
            latent_dim=generator.latent_dim, seed=_draw_seed(kit), device=kit.device,
        )  # fmt: skip
        record = SearchLog(classes)
        bought: list[Rows] = []
        winners: list[tuple[int, Tensor, Tensor]] = []  # rows bought by then, images, answers

        def clone(rows: int, kit: AttackerKit) -> nn.Module:
            images, answers = self._training_rows(rows, bought, winners)
            student = self._train(images, answers, kit)
            if self.evolve:
                kit.exhibit(record.summary(used=len(images)), record.pictures())
            return student

        for _ in kit.loop(
            lambda _: oracle.remaining > 0,
            search=search, record=record, bought=bought, winners=winners,
        ):  # fmt: skip
            latents, targets = search.ask()
            images = as_bytes(generator.decode(latents))
            asked = images[: oracle.remaining]
            answers = oracle(as_pixels(asked), purpose=self.purpose)
            record.add_queries(targets[: len(asked)])
            bought.append((asked, answers))
            if len(asked) == len(images):
                standing = search.tell(images, answers)
                record.add_generation(standing)
                ended = standing.where(standing.finished)
                winners.append((oracle.spent, ended.images, ended.answers))
            yield DeferredClone(clone)
            if self.reuse == "evolved" and sum(len(won) for _, won, _ in winners) >= LEAST_ROWS:
                bought.clear()  # memory, at a million rows

    def _training_rows(
        self, rows: int, bought: list[Rows], winners: list[tuple[int, Tensor, Tensor]]
    ) -> Rows:
        """The student's training rows after `rows` queries; all rows if there are few winners."""
        won = [(images, answers) for at, images, answers in winners if at <= rows]
        all_rows = self.reuse == "all" or sum(len(images) for images, _ in won) < LEAST_ROWS
        images, answers = (torch.cat(p) for p in zip(*(bought if all_rows else won), strict=True))
        return images[:rows], answers[:rows]

    def slots_for(self, horizon: int) -> int:
        """The number of searches; those that the budget interrupts cost at most an eighth of it."""
        if not self.evolve:
            return RANDOM_BATCH
        return max(1, min(self.slots, horizon // (8 * self.algorithm.most_rows())))

    def _train(self, images: Tensor, answers: Tensor, kit: AttackerKit) -> nn.Module:
        student = kit.new_student()
        recipe = Recipe(
            loss=self.loss, optimizer="adam", lr=self.lr, weight_decay=0.0, schedule="constant",
            batch_size=self.batch_size, epochs=self.epochs, validation=0.0,
        )  # fmt: skip
        distill(student, images, answers, recipe, rng=kit.rng, progress=kit.progress, loop=kit.loop)
        return student


def _draw_seed(kit: AttackerKit) -> int:
    return int(torch.randint(2**62, (1,), generator=kit.rng, device=kit.rng.device))


# The constants of the released code, which differ from the paper's.
RELEASED = BlackBoxRipper(
    bound=3.3, mutation=0.5, children="evenly", stop="probability", confidence=0.9, loss="bce"
)
PROFILES = {
    "paper": BlackBoxRipper(),
    "released": RELEASED,
    "released-rgb": replace(RELEASED, max_generations=300),
    "no-evolution": BlackBoxRipper(evolve=False),
    # chosen for 10,000 to 100,000 queries: docs/small_budgets.md
    "small-budget": replace(RELEASED, reuse="all", loss="kl", epochs=60),
}
