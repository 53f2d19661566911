"""MAZE: trains a generator by finite differences and a clone with replay, without data.

Kariyappa, Prakash, Qureshi, CVPR 2021, https://arxiv.org/abs/2005.03161.

    min over S, max over G of  E_z  KL(V(x) || S(x)),    x = tanh(G(z)),  z ~ N(0, I)

    N_G times  dKL/dG(z) from m forward differences on G's output before tanh, because the victim
               gives no gradient; one ascent step of G                         B (m + 1) queries
    N_C times  a step of S on a batch: the first is G's last one, already answered,
               the others are fresh; the last one joins the memory D           B queries
    N_R times  a step of S on a batch of D                                     no query

One iteration costs B (N_G (m + 1) + N_C - 1) queries: 128 (1 (10 + 1) + 4) = 1,920. With a prior
for G it is MAZE-PD: see maze_pd.py. Differs from the paper: see docs/attacks/maze.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from clonecost.attacks.base import AttackerKit, Declaration, at_least
from clonecost.networks.maze import Conv3Generator
from clonecost.oracle import Oracle
from clonecost.query_synthesis.zeroth_order import forward_difference, full_float32
from clonecost.training.losses import kl
from clonecost.training.optimisers import SGD
from clonecost.training.replay_buffer import Replay
from clonecost.training.student_optimizer import StudentOptimizer, student_optimizer
from clonecost.types import as_bytes, as_pixels


class Prior(Protocol):
    """The attacker's knowledge of the victim's images: a term of G's loss in MAZE-PD."""

    def gradient(self, raw: Tensor) -> Tensor:
        """The gradient of the term with respect to `raw`, (n, C, H, W) images before tanh."""
        ...

    def learn(self, raw: Tensor) -> None:
        """Train on the images of an iteration's clone steps, (N_C B, C, H, W), before tanh."""
        ...


@dataclass(frozen=True, kw_only=True)
class Maze:
    """Trains a generator and a clone against each other, with replay of bought rows.

    Example:
        >>> Maze(batch_size=64, directions=4, generator_width=16)
    """

    batch_size: int = 128  # B, images of a batch
    latent_dim: int = 100  # dimension of the latents
    generator_steps: int = 1  # N_G, steps of the generator in an iteration
    clone_steps: int = 5  # N_C, steps of the clone on new images in an iteration
    replay_steps: int = 10  # N_R, steps of the clone on replayed rows in an iteration
    directions: int = 10  # m, random directions of a gradient estimate
    step: float = 1e-3  # mu, length of a finite difference
    student_lr: float = 0.1  # learning rate of the clone
    student_optimizer: StudentOptimizer = "sgd"  # adam: for budgets that leave few steps
    generator_lr: float = 1e-4  # learning rate of the generator
    memory: int | None = None  # rows of the replay memory D; None: all kept rows, as published
    generator_width: int = 64  # channels of the generator's narrowest layer

    declares: ClassVar = Declaration(
        needs="probs", finite_differences=True, by_settings=("queries_per_iteration",)
    )

    def __post_init__(self) -> None:
        at_least(1, self, "latent_dim", "generator_steps", "directions", "memory",
                 "generator_width")  # fmt: skip
        at_least(
            2, self, "batch_size", "clone_steps"
        )  # batch norm; an answered batch and a fresh one
        at_least(1e-38, self, "step")
        at_least(0, self, "replay_steps", "student_lr", "generator_lr")

    @property
    def queries_per_iteration(self) -> int:
        on_gradients = self.generator_steps * (self.directions + 1)
        return self.batch_size * (on_gradients + self.clone_steps - 1)

    def plan(self, budget: int) -> str:
        cost = self.queries_per_iteration
        on_gradients = self.batch_size * self.generator_steps * (self.directions + 1) / cost
        return (
            f"{budget // cost:,} iterations of {cost:,} queries; {100 * on_gradients:.0f} % of "
            "them go into gradient estimates"
        )

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[nn.Module]:
        return self.alternate(oracle, kit, self.new_memory(oracle, kit), prior=None)

    def alternate(
        self, oracle: Oracle, kit: AttackerKit, memory: Replay, *, prior: Prior | None
    ) -> Iterator[nn.Module]:
        """Yield the clone after each of the iterations that the rest of the budget holds."""
        size, student = self.batch_size, kit.new_student()
        shape, latent_dim, width = oracle.threat.input_shape, self.latent_dim, self.generator_width
        network = kit.initialised(lambda: Conv3Generator(shape, latent_dim, width=width))
        generator = kit.compiled(network)
        planned = self.planned_iterations(oracle, kit)
        student_opt = student_optimizer(student, self.student_optimizer, self.student_lr)
        student_schedule = CosineAnnealingLR(student_opt, max(1, planned))
        generator_opt, generator_schedule = annealed(generator, self.generator_lr, planned)
        base: tuple[Tensor, ...]  # points of the last estimate: before tanh, pixels, answers

        def draw() -> Tensor:
            """A batch of images before tanh. G's batch norm sees batches of B, as published."""
            return generator(torch.randn(size, latent_dim, generator=kit.rng, device=kit.device))

        def disagreement(raw: Tensor) -> Tensor:
            nonlocal base
            images = pixels(raw)
            base = raw[:size], images[:size], oracle(images[:size])  # also train the clone
            around = oracle(images[size:], purpose="gradients")
            return kl(student(images), torch.cat([base[2], around]))

        def learn(x: Tensor, v: Tensor) -> None:
            loss = kl(student(x), v).mean()
            student_opt.zero_grad()
            loss.backward()
            student_opt.step()

        for _ in kit.loop(
            lambda _: oracle.remaining >= self.queries_per_iteration, memory=memory, prior=prior,
            parts=[student, generator, student_opt, generator_opt, student_schedule,
                   generator_schedule],
        ):  # fmt: skip
            # G steps: ascend the disagreement
            student.eval()
            for _ in range(self.generator_steps):
                raw = draw()
                with torch.no_grad(), full_float32():
                    gradient = -forward_difference(
                        disagreement, raw, directions=self.directions, step=self.step, rng=kit.rng
                    )
                gradient /= size
                if prior is not None:
                    gradient += prior.gradient(raw.detach())
                generator_opt.zero_grad()
                raw.backward(gradient)
                generator_opt.step()

            # clone steps: descend it. G is fixed, so the fresh images are sent in one batch
            student.train()
            with torch.no_grad():
                raw = torch.cat([draw() for _ in range(self.clone_steps - 1)])
            fresh = pixels(raw)
            kept = as_bytes(fresh[-size:])
            fresh[-size:] = as_pixels(kept)  # sent and kept rows agree
            images, answers = torch.cat([base[1], fresh]), torch.cat([base[2], oracle(fresh)])
            for x, v in zip(images.split(size), answers.split(size), strict=True):
                learn(x, v)
            if prior is not None:
                prior.learn(torch.cat([base[0], raw]))

            memory.add(kept, answers[-size:])
            for _ in range(self.replay_steps):
                learn(*memory.draw(size, kit.rng))
            student_schedule.step()
            generator_schedule.step()
            yield student

    def planned_iterations(self, oracle: Oracle, kit: AttackerKit) -> int:
        """Iterations over which the learning rates fall."""
        return (kit.horizon - oracle.spent) // self.queries_per_iteration

    def new_memory(self, oracle: Oracle, kit: AttackerKit) -> Replay:
        """An empty memory for all rows bought so far and those that later iterations keep."""
        later = oracle.remaining // self.queries_per_iteration * self.batch_size
        rows = self.memory or oracle.spent + later
        return Replay(rows, oracle.threat.input_shape, oracle.threat.num_classes, kit.device)


def pixels(raw: Tensor) -> Tensor:
    """Images before tanh to pixels in [0, 1], of the same shape."""
    return (raw.tanh() + 1) / 2


def annealed(
    network: nn.Module, lr: float, iterations: int
) -> tuple[torch.optim.Optimizer, CosineAnnealingLR]:
    """SGD whose rate falls by half a cosine from lr to 0 over `iterations`, then rises again."""
    optimizer = SGD(network.parameters(), lr=lr, momentum=0.9, weight_decay=5e-4, fused=True)
    return optimizer, CosineAnnealingLR(optimizer, max(1, iterations))


PROFILES = {
    "fmnist": Maze(generator_lr=1e-3),  # the authors' instructions for Fashion-MNIST
    # chosen for 10,000 to 100,000 queries: docs/small_budgets.md
    "small-budget": Maze(batch_size=16, replay_steps=20, student_lr=0.03, generator_lr=1e-2),
}
