"""Knockoff Nets, adaptive strategy: a bandit selects the proxy classes to query, then distils.

Orekondy, Schiele, Fritz, CVPR 2019, https://arxiv.org/abs/1812.02766, §4.2; no code was released.

    pi(z) = softmax(H)(z) over the classes z of the attacker's own labels. A batch:
    1. draw classes z by pi, and for each an image x that was not queried yet
    2. y = victim(x)                                                      one query a row
    3. rewards, each rescaled to [0, 1] over the last Delta rows, then r = their mean
         certainty   y_(1) - y_(2)                      of the two likeliest classes; of several
                     labels a row the mean of |2 p - 1|
         diversity   sum_k max(0, y_k - mean of the last Delta answers_k)
         loss        -sum_k y_k log S(x)_k              and one step of SGD on S
    4. H(z') <- H(z') + sum_x alpha (r - mean of the last Delta r) (1[z' = z] - pi(z')),
       alpha = 1 / (how often z was drawn)
    At the end the clone is trained from scratch on all rows that were bought.

Differs from the paper: see docs/attacks/knockoff_adaptive.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clonecost.attacks.base import AttackerKit, Clone, Declaration, DeferredClone, at_least
from clonecost.attacks.knockoff import PAPER
from clonecost.data.part_rows import part
from clonecost.networks.pretrained import Start, start_of
from clonecost.oracle import Oracle
from clonecost.training.distill import Recipe
from clonecost.training.fine_tune import FineTune
from clonecost.training.optimisers import SGD
from clonecost.training.recipes import passes_of, recipe_from, train
from clonecost.types import Rows, answered

LEAST = 1e-6  # least pi: every class can be drawn when no other class has rows left


@dataclass(frozen=True, kw_only=True)
class KnockoffAdaptive:
    """Draws proxy classes by a gradient bandit, then trains each clone from scratch.

    Example:
        >>> KnockoffAdaptive(recipe="shared", window=320)
    """

    batch_size: int = 64  # classes drawn at once: rows per call of the victim
    window: int = 640  # Delta, number of last rows over which rewards and answers are averaged
    lr: float = 0.01  # SGD's learning rate for the student that computes rewards
    momentum: float = 0.5  # SGD's momentum for the student that computes rewards
    recipe: Literal["paper", "shared"] = "paper"  # training of the clone, as in `knockoff`
    epochs: int | None = None  # epochs of the clone; None: those of the recipe

    declares: ClassVar = Declaration(
        needs="label",
        proxy="asked",
        proxy_labels=True,
        skips_refused=True,
        multi_label=True,
        by_settings=("clone_epochs",),
    )

    def __post_init__(self) -> None:
        at_least(2, self, "batch_size")  # batch norm
        at_least(1, self, "window", "epochs")
        at_least(0, self, "lr", "momentum")

    def clone_epochs(self, start: Start) -> int:
        return passes_of(self._recipe(start), start)

    def plan(self, budget: int) -> str:
        return (
            f"queries {budget:,} rows of the proxy data (again if there are fewer), "
            f"{self.batch_size} at a time, from classes that a bandit selects, then trains each "
            "scored clone"
        )

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[Clone]:
        pool = kit.required_proxy(self)
        labels, arm = pool.labels.to(kit.device).unique(return_inverse=True)
        arms = len(labels)
        classes, several = oracle.threat.num_classes, oracle.threat.multi_label
        student = kit.new_student()
        learner = SGD(student.parameters(), self.lr, self.momentum, fused=True)
        asked: list[Tensor] = []
        answers = [torch.empty(0, classes, device=kit.device)]
        bandit = {
            "preference": torch.zeros(arms, device=kit.device),  # H
            "pulls": torch.zeros(arms, device=kit.device),  # N
            "rewards": torch.empty(0, 3, device=kit.device),  # of the last Delta rows
            "recent": torch.empty(0, classes, device=kit.device),  # their answers
            "unused": torch.ones(len(pool), dtype=torch.bool, device=kit.device),
        }

        def clone(bought: int, kit: AttackerKit) -> nn.Module:
            inputs = part(pool.inputs, torch.cat(asked)[:bought], kit.device)
            return self._clone(inputs, torch.cat(answers)[:bought], kit)

        for _ in kit.loop(
            lambda _: oracle.remaining > 0, student=student, learner=learner, asked=asked,
            answers=answers, bandit=bandit,
        ):  # fmt: skip
            policy = bandit["preference"].softmax(0)
            chosen = self._draw(policy, arm, bandit["unused"], kit)
            recent = bandit["recent"]
            mean = (
                recent.mean(0)
                if len(recent)
                else torch.full((classes,), 1 / classes, device=kit.device)
            )
            rows = chosen.cpu()[: oracle.remaining]
            y = oracle(pool.rows(rows, kit.device), index=rows)
            answers.append(y)
            asked.append(rows)
            told = answered(y)
            rows, y, chosen = rows[told.cpu()], y[told], chosen[: len(told)][told]
            bandit["recent"] = torch.cat([recent, y])[-self.window :]
            yield DeferredClone(clone)
            if not oracle.remaining or len(chosen) < 2:
                continue  # the last row of the pool: batch norm needs two
            drawn = arm[chosen]
            # the reward is the loss before the step, which uses the same forward pass
            losses = F.cross_entropy(student(pool.rows(rows, kit.device)), y, reduction="none")
            learner.zero_grad()
            losses.mean().backward()
            learner.step()

            sure = (y - y.roll(classes // 2, 1)).abs().sum(1) / 2 if several else certainty(y)
            fresh = torch.stack([sure, diversity(y, mean), losses.detach()], 1)
            rewards = torch.cat([bandit["rewards"], fresh])[-max(self.window, len(chosen)) :]
            bandit["rewards"] = rewards
            bandit["pulls"] += drawn.bincount(minlength=arms)
            step = gradient(policy, bandit["pulls"], drawn, mean_reward(rewards))
            bandit["preference"] += step

    def _draw(self, policy: Tensor, arm: Tensor, unused: Tensor, kit: AttackerKit) -> Tensor:
        """(batch,) indices into the pool, removed from `unused`. A used-up pool starts over."""
        if not unused.any():
            unused.fill_(True)
        rows_left = arm[unused].bincount(minlength=len(policy)).clamp_min(1)
        weights = (policy.clamp_min(LEAST) / rows_left)[arm] * unused
        count = min(self.batch_size, int(unused.sum()))
        chosen = torch.multinomial(weights, count, generator=kit.rng)
        unused[chosen] = False
        return chosen

    def _recipe(self, start: Start) -> Recipe | FineTune:
        if self.recipe == "shared":
            return recipe_from(start, self.epochs)
        return PAPER if self.epochs is None else replace(PAPER, epochs=self.epochs)

    def _clone(self, inputs: Rows, answers: Tensor, kit: AttackerKit) -> nn.Module:
        student = kit.new_student()
        recipe = self._recipe(start_of(student))
        train(student, inputs, answers, recipe, rng=kit.rng, progress=kit.progress, loop=kit.loop)
        return student


def certainty(answers: Tensor) -> Tensor:
    """(n, K) -> (n,) in [0, 1]: the difference of the two largest probabilities; 1 for labels."""
    first, second = answers.topk(2, dim=1).values.unbind(1)
    return first - second


def diversity(answers: Tensor, mean: Tensor) -> Tensor:
    """(n, K) -> (n,) in [0, 1]: the sum of what an answer has above `mean`, (K,)."""
    return (answers - mean).clamp_min(0).sum(1)


def mean_reward(rewards: Tensor) -> Tensor:
    """(n, 3) -> (n,) in [0, 1]: the mean of the rewards, each rescaled over the rows.

    A reward that is equal in all rows counts as 0.
    """
    low, high = rewards.amin(0), rewards.amax(0)
    spread = (high - low).clamp_min(1e-12)
    return ((rewards - low) / spread).mean(1)


def gradient(policy: Tensor, pulls: Tensor, drawn: Tensor, reward: Tensor) -> Tensor:
    """(arms,) the step that a batch adds to H, step 4.

    Args:
        policy: (arms,) pi.
        pulls: (arms,) how often each arm was drawn, this batch included.
        drawn: (n,) the batch's arms.
        reward: (>= n,) rewards of the last Delta rows, which end with the batch's; their mean is
            the baseline.
    """
    step = (reward[-len(drawn) :] - reward.mean()) / pulls[drawn]
    return torch.zeros_like(policy).index_add_(0, drawn, step) - policy * step.sum()


PROFILES = {"shared": KnockoffAdaptive(recipe="shared")}
