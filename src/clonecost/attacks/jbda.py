"""JBDA: doubles a few seed images in each round along the signs of the substitute's Jacobian.

Papernot, McDaniel, Goodfellow, Jha, Celik, Swami, AsiaCCS 2017, https://arxiv.org/abs/1602.02697.

    S_0 = seeds. For rho = 0, 1, ...:
    1. y = victim(x) for the points of S_rho that are new              one query a row
    2. train F on S_rho, from its current weights
    3. x' = x + lambda_rho sign dF_y(x)/dx  for x in S_rho,    lambda_rho = lambda (-1)^(rho // tau)
       S_rho+1 = S_rho and all x'; from rho = sigma on, only kappa random ones

S_rho costs n 2^rho queries for n seeds, from sigma on n 2^sigma + kappa (rho - sigma). The paper
aims at adversarial examples that transfer, at the cost of accuracy.
Differs from the paper: see docs/attacks/jbda.md.
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from clonecost.attacks.base import AttackerKit, Clone, Declaration, DeferredClone, at_least
from clonecost.oracle import Oracle
from clonecost.query_synthesis.active_selection import CHUNK
from clonecost.query_synthesis.image_mutation import keys_of, unseen
from clonecost.training.distill import Recipe, distill
from clonecost.types import as_bytes, as_pixels


@dataclass(frozen=True, kw_only=True)
class Jbda:
    """Queries seed images, then images that differ from them along the substitute's Jacobian.

    Example:
        >>> Jbda(seeds=100, rounds=5, step=0.05)
    """

    seeds: int = 150  # n, rows of the proxy data drawn at random
    rounds: int = 6  # rounds of queries and training, rho = 0 ... 5: 4,800 rows in all
    step: float = 0.1  # lambda, change of a pixel in [0, 1]
    step_period: int = 3  # tau, rounds after which the step changes its sign
    reservoir_after: int = 6  # sigma, doublings before only kappa points are augmented
    reservoir: int = 400  # kappa, new points of a round from then on
    epochs: int = 10  # epochs of the substitute in a round
    batch_size: int = 128  # rows of a training batch
    lr: float = 1e-3  # learning rate of Adam
    # the output F that is differentiated
    jacobian: Literal["probabilities", "logits"] = "probabilities"

    declares: ClassVar = Declaration(needs="label", proxy="changed")

    def __post_init__(self) -> None:
        at_least(1, self, "seeds", "rounds", "step_period", "reservoir", "epochs")
        at_least(2, self, "batch_size")  # batch norm
        at_least(0, self, "step", "reservoir_after", "lr")

    def plan(self, budget: int) -> str:
        doublings = min(self.rounds - 1, self.reservoir_after)
        whole = self.seeds * 2**doublings + self.reservoir * (self.rounds - 1 - doublings)
        return (
            f"queries {min(budget, self.seeds):,} rows of the proxy data, then doubles them "
            f"along the signs of the clone's Jacobian: at most {min(budget, whole):,} rows in "
            f"{self.rounds} rounds of {self.epochs} epochs"
        )

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[Clone]:
        pool = kit.required_proxy(self)
        answers: list[Tensor] = []
        substitute = kit.new_student()
        picks = torch.randperm(len(pool), generator=kit.rng, device=kit.device)[: self.seeds]
        points = [as_bytes(pool.rows(picks.cpu(), kit.device))]  # the last ones are not queried yet

        def clone(bought: int, kit: AttackerKit) -> nn.Module:
            rows = torch.cat(points)[:bought]
            return self._trained(substitute, rows, torch.cat(answers)[:bought], kit)

        for rho in kit.loop(
            lambda rho: rho < self.rounds and oracle.remaining > 0,
            substitute=substitute, points=points, answers=answers,
        ):  # fmt: skip
            if len(points[-1]):  # empty if every new point was queried before
                answers.append(oracle(as_pixels(points[-1][: oracle.remaining])))
            yield DeferredClone(clone)
            if oracle.remaining and rho + 1 < self.rounds:
                bought = torch.cat(points), torch.cat(answers)
                trained = self._trained(substitute, *bought, kit.branch(oracle.spent))
                substitute.load_state_dict(trained.state_dict())
                points.append(self._augmented(substitute, *bought, rho, kit))

    def _trained(
        self, substitute: nn.Module, points: Tensor, answers: Tensor, kit: AttackerKit
    ) -> nn.Module:
        """A copy of the substitute, trained on; the copy keeps scoring from changing a round."""
        trained = deepcopy(substitute)
        recipe = Recipe(
            optimizer="adam", lr=self.lr, weight_decay=0.0, batch_size=self.batch_size,
            epochs=self.epochs, schedule="constant", validation=0.0,
        )  # fmt: skip
        distill(trained, points, answers, recipe, rng=kit.rng, progress=kit.progress, loop=kit.loop)
        return trained

    def _augmented(
        self, substitute: nn.Module, points: Tensor, answers: Tensor, rho: int, kit: AttackerKit
    ) -> Tensor:
        """(m, C, H, W) uint8: the new points, without those that were queried before."""
        order = torch.arange(len(points), device=kit.device)
        if rho >= self.reservoir_after:
            order = torch.randperm(len(points), generator=kit.rng, device=kit.device)
            order = order[: self.reservoir]
        x, labels = as_pixels(points[order]), answers[order].argmax(1)
        step = self.step * (-1) ** (rho // self.step_period)
        moved = x + step * jacobian_signs(substitute, x, labels, of=self.jacobian)
        new = as_bytes(moved.clamp(0, 1))
        return new[unseen(keys_of(new), keys_of(points))]


def jacobian_signs(
    network: nn.Module, x: Tensor, labels: Tensor, *, of: Literal["probabilities", "logits"]
) -> Tensor:
    """sign dF_y(x)/dx, (n, *shape), from the gradient of sum_n F_{y_n}(x_n) over a chunk of rows.

    The network computes in eval mode, so that rows do not influence each other; its mode is
    restored. For probabilities, the logarithm is differentiated: its gradient has the same sign and
    does not vanish at 0 or 1.

    Args:
        x: (n, *shape) pixels in [0, 1].
        labels: (n,) the victim's labels y.
    """
    was_training = network.training
    network.eval()
    signs = []
    for rows, y in zip(x.split(CHUNK), labels.split(CHUNK), strict=True):
        at = rows.detach().clone().requires_grad_()
        outputs = network(at)
        outputs = outputs.log_softmax(1) if of == "probabilities" else outputs
        total = outputs.gather(1, y.view(-1, 1)).sum()
        signs.append(torch.autograd.grad(total, at)[0].sign())
    network.train(was_training)
    return torch.cat(signs)
