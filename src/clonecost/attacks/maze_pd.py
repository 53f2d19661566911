"""MAZE-PD: MAZE with a critic that is trained on some images of the victim's domain.

Kariyappa, Prakash, Qureshi, CVPR 2021, https://arxiv.org/abs/2005.03161.

    0. V answers n seed images, the first rows of the memory                    n queries, once
    1. MAZE's iteration (maze.py), with a prior in G's loss, whose gradient is exact:

           L_G = -E KL(V(x) || S(x)) - alpha_gan E D(x),    x = tanh(G(z))

    2. for each batch of the clone steps a step of the critic D, with real seeds       no query

           L_D = E D(x) - E D(seed) + 10 E (|grad D(x')| - 1)^2,    x' = x + e (seed - x)

One iteration costs 1,920 queries, as in MAZE. Differs from the paper: see docs/attacks/maze_pd.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from clonecost.attacks.base import AttackerKit, Declaration, at_least
from clonecost.attacks.maze import Maze, annealed
from clonecost.errors import SetKey, SpecError
from clonecost.networks.image_range import to_space
from clonecost.networks.maze import Conv3Critic
from clonecost.oracle import Oracle
from clonecost.persistence.resumable_loop import Stateful
from clonecost.training.gradient_penalty import gradient_penalty
from clonecost.types import as_bytes, as_pixels


@dataclass(frozen=True, kw_only=True)
class MazePd(Maze):
    """MAZE with seed images of the victim's domain from the proxy data.

    Example:
        >>> MazePd(seeds=50, batch_size=64, directions=4, generator_width=16)
    """

    seeds: int = 100  # n, proxy rows that are queried once and train the critic
    alpha_gan: float = 1.0  # weight of the critic in the generator's loss
    critic_lr: float = 1e-4  # learning rate of the critic
    penalty: float = 10.0  # weight of the gradient penalty

    declares: ClassVar = Declaration(
        needs="probs",
        proxy="changed",
        finite_differences=True,
        by_settings=("queries_per_iteration",),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, self, "seeds")
        at_least(0, self, "alpha_gan", "critic_lr", "penalty")

    def plan(self, budget: int) -> str:
        return f"{self.seeds:,} seed images, then {super().plan(max(0, budget - self.seeds))}"

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[nn.Module]:
        proxy = kit.required_proxy(self)
        if len(proxy) < self.seeds:
            raise SpecError(
                "The proxy data have fewer rows than maze_pd needs as seeds",
                SetKey("set.maze_pd.seeds", len(proxy)), SetKey("proxy"),
                got=f"{len(proxy):,}", want=f"{self.seeds:,}",
            )  # fmt: skip
        least = self.seeds + self.queries_per_iteration
        if oracle.remaining < least:
            raise SpecError(
                "The budget is less than the seeds and one iteration of maze_pd cost",
                SetKey("budget", least), got=f"{oracle.remaining:,}", want=f"{least:,}",
            )  # fmt: skip
        order = torch.randperm(len(proxy), generator=kit.rng, device=kit.device)
        images = as_bytes(proxy.rows(order[: self.seeds].cpu(), kit.device))
        answers = oracle(as_pixels(images))
        memory = self.new_memory(oracle, kit)
        memory.add(images, answers)
        prior = CriticPrior(self, images, oracle, kit)
        yield from self.alternate(oracle, kit, memory, prior=prior)


class CriticPrior:
    """The critic D, which scores the seeds, (n, C, H, W) uint8, above G's images; in [-1, 1]."""

    def __init__(self, attack: MazePd, seeds: Tensor, oracle: Oracle, kit: AttackerKit) -> None:
        self._attack, self._seeds, self._rng = attack, seeds, kit.rng
        self.critic = kit.initialised(lambda: Conv3Critic(oracle.threat.input_shape))
        planned = attack.planned_iterations(oracle, kit)
        self._optimizer, self._schedule = annealed(self.critic, attack.critic_lr, planned)
        self._parts: list[Stateful] = [self.critic, self._optimizer, self._schedule]

    def gradient(self, raw: Tensor) -> Tensor:
        """d(-alpha_gan E D(tanh(raw))) / d raw, of the shape of `raw`."""
        raw = raw.detach().requires_grad_()
        loss = -self._attack.alpha_gan * self.critic(raw.tanh()).mean()
        return torch.autograd.grad(loss, raw)[0]  # leaves the critic's gradients alone

    def learn(self, raw: Tensor) -> None:
        """One step of the critic for each batch of `raw`, images before tanh."""
        for fake in raw.tanh().split(self._attack.batch_size):
            picks = torch.randint(
                len(self._seeds), (len(fake),), generator=self._rng, device=fake.device
            )
            self._optimizer.zero_grad()
            self.loss(to_space(as_pixels(self._seeds[picks])), fake).backward()
            self._optimizer.step()
        self._schedule.step()

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for part, held in zip(self._parts, state["parts"], strict=True):
            part.load_state_dict(held)

    def loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """The critic's loss L_D for images in [-1, 1], (n, C, H, W) each."""
        penalty = gradient_penalty(self.critic, real, fake, 1.0, self._rng)
        apart = self.critic(fake).mean() - self.critic(real).mean()
        return apart + self._attack.penalty * penalty
