"""MAZE-PD: MAZE with partial data, some hundred images of the victim's own kind.

Kariyappa, Prakash, Qureshi, CVPR 2021, https://arxiv.org/abs/2005.03161.

    0. V answers n seed images; they are the memory's first rows                n queries, once
    1. MAZE's iteration (maze.py), with a prior in G's loss, whose gradient is exact:

           L_G = -E KL(V(x) || S(x)) - alpha_gan E D(x),    x = tanh(G(z))

    2. for each batch of the clone steps a step of the critic D, the seeds being real  no query

           L_D = E D(x) - E D(seed) + 10 E (|grad D(x')| - 1)^2,    x' = x + e (seed - x)

One iteration costs what MAZE's costs, 1,920. Differs from the paper: see docs/attacks/maze_pd.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from clonecost.attacks.base import AttackerKit, Declaration, at_least
from clonecost.attacks.maze import Maze, annealed
from clonecost.errors import SpecError
from clonecost.networks.image_range import to_space
from clonecost.networks.maze import Conv3Critic
from clonecost.oracle import Oracle
from clonecost.persistence.resumable_loop import Stateful
from clonecost.training.gradient_penalty import gradient_penalty
from clonecost.types import as_bytes, as_pixels


@dataclass(frozen=True, kw_only=True)
class MazePd(Maze):
    seeds: int = 100  # n, rows of the proxy data that the critic learns from
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
        if kit.proxy is None:
            raise SpecError("maze_pd begins with seed images: name some with --proxy")
        if len(kit.proxy) < self.seeds:
            raise SpecError(
                f"maze_pd wants {self.seeds:,} seed images, the proxy has only {len(kit.proxy):,} "
                "rows: name another, or set maze_pd.seeds"
            )
        least = self.seeds + self.queries_per_iteration
        if oracle.remaining < least:
            raise SpecError(
                f"the seeds and one iteration of maze_pd cost {least:,} queries, the budget is "
                f"{oracle.remaining:,}: raise --budget to at least that"
            )
        order = torch.randperm(len(kit.proxy), generator=kit.rng, device=kit.device)
        images = as_bytes(kit.proxy.rows(order[: self.seeds].cpu(), kit.device))
        answers = oracle(as_pixels(images))
        memory = self.new_memory(oracle, kit)
        memory.add(images, answers)
        prior = Likeness(self, images, oracle, kit)
        yield from self.duel(oracle, kit, memory, prior=prior)


class Likeness:
    """D, which learns to tell the seeds, (n, C, H, W) uint8, from G's images; both in [-1, 1]."""

    def __init__(self, attack: MazePd, seeds: Tensor, oracle: Oracle, kit: AttackerKit) -> None:
        self._attack, self._seeds, self._rng = attack, seeds, kit.rng
        self.critic = kit.initialised(lambda: Conv3Critic(oracle.threat.input_shape))
        planned = attack.planned_iterations(oracle, kit)
        self._optimizer, self._fall = annealed(self.critic, attack.critic_lr, planned)
        self._parts: list[Stateful] = [self.critic, self._optimizer, self._fall]

    def gradient(self, raw: Tensor) -> Tensor:
        raw = raw.detach().requires_grad_()
        loss = -self._attack.alpha_gan * self.critic(raw.tanh()).mean()
        return torch.autograd.grad(loss, raw)[0]  # and none of the critic's own weights

    def learn(self, raw: Tensor) -> None:
        for fake in raw.tanh().split(self._attack.batch_size):
            picks = torch.randint(
                len(self._seeds), (len(fake),), generator=self._rng, device=fake.device
            )
            self._optimizer.zero_grad()
            self.loss(to_space(as_pixels(self._seeds[picks])), fake).backward()
            self._optimizer.step()
        self._fall.step()

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for part, held in zip(self._parts, state["parts"], strict=True):
            part.load_state_dict(held)

    def loss(self, real: Tensor, fake: Tensor) -> Tensor:
        penalty = gradient_penalty(self.critic, real, fake, 1.0, self._rng)
        apart = self.critic(fake).mean() - self.critic(real).mean()
        return apart + self._attack.penalty * penalty
