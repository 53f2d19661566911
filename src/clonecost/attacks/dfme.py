"""DFME: trains a generator by finite differences on the disagreement of student and victim.

Truong, Maini, Walls, Papernot, CVPR 2021, https://arxiv.org/abs/2011.14779, Algorithm 1.

    min over S, max over G of  E_z  L(V(x), S(x)),    x = tanh(G(z)),  z ~ N(0, I)

    No data. G step (x g):  dL/dG(z) from m forward differences on G's output before tanh, because
                   the victim gives no gradient;                            B (m + 1) queries
    S step (x s):  L on fresh images;                                       B queries
    L = (1/K) |v - s|_1 with v = log V(x) - mean log V(x), the recovered logits   (or KL)

One iteration costs B (g (m + 1) + s) queries: 256 (1 (1 + 1) + 5) = 1,792.
Differs from the paper: see docs/attacks/dfme.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from clonecost.attacks._replayed import Replayed
from clonecost.attacks.base import AttackerKit, Declaration, at_least
from clonecost.networks.image_range import per_channel
from clonecost.oracle import Oracle
from clonecost.query_synthesis.zeroth_order import forward_difference, full_float32
from clonecost.training.losses import Recovery, kl, logit_l1, recover_logits
from clonecost.training.optimisers import Adam
from clonecost.training.student_optimizer import StudentOptimizer, student_optimizer

EPOCH = 50  # iterations between two steps of the schedule


@dataclass(frozen=True, kw_only=True)
class Dfme:
    """Trains a generator and a student against each other, without data.

    Example:
        >>> Dfme(batch_size=64, generator_width=16, smallest_probability=0.005)
    """

    batch_size: int = 256  # B, images of a batch
    latent_dim: int = 256  # dimension of the latents
    generator_steps: int = 1  # g, steps of the generator in an iteration
    student_steps: int = 5  # s, steps of the student in an iteration
    directions: int = 1  # m, random directions of a gradient estimate
    step: float = 1e-3  # epsilon, length of a finite difference
    replay_steps: int = 0  # further steps of the student on rows that trained it before
    student_lr: float = 0.1  # learning rate of the student
    student_optimizer: StudentOptimizer = "sgd"  # adam: for budgets that leave few steps
    generator_lr: float = 1e-4  # learning rate of the generator; 5e-5 in SVHN's released script
    decay_at: tuple[float, ...] = (0.1, 0.3, 0.5)  # shares of the budget at which both rates fall
    decay: float = 0.3  # factor of both learning rates at each fall
    loss: Literal["l1", "kl"] = "l1"  # distance between the victim's answers and the student's
    # recovery of logits from probabilities; "none": the paper's Log-Probabilities
    recovery: Recovery = "mean"
    # floor of a probability before the logarithm; for an API that rounds: half its resolution
    smallest_probability: float = 1e-30
    scale_by_dim: bool = True  # factor d of the estimator, which the printed equation lacks
    generator_width: int = 64  # channels of the generator's narrowest layer
    # "pixels": t = tanh is the pixel (t + 1) / 2. "published": t is the victim's normalised
    # input, pixel = mean + std t, as in the released scripts.
    wiring: Literal["pixels", "published"] = "pixels"
    # mean of the victim's pixels, only for "published"
    mean: tuple[float, ...] = (0.4914, 0.4822, 0.4465)
    # standard deviation of the victim's pixels, only for "published"
    std: tuple[float, ...] = (0.2023, 0.1994, 0.2010)

    declares: ClassVar = Declaration(
        needs="probs",
        finite_differences=True,
        by_settings=("queries_per_iteration", "published_wiring"),
    )

    def __post_init__(self) -> None:
        at_least(1, self, "latent_dim", "generator_steps", "student_steps", "directions",
                 "generator_width")  # fmt: skip
        at_least(2, self, "batch_size")  # batch norm
        at_least(1e-38, self, "step", "smallest_probability")
        at_least(0, self, "student_lr", "generator_lr", "decay", "replay_steps")

    @property
    def queries_per_iteration(self) -> int:
        return self.batch_size * (self.generator_steps * (self.directions + 1) + self.student_steps)

    @property
    def published_wiring(self) -> bool:
        return self.wiring == "published"

    def plan(self, budget: int) -> str:
        cost = self.queries_per_iteration
        on_gradients = self.batch_size * self.generator_steps * (self.directions + 1) / cost
        return (
            f"{budget // cost:,} iterations of {cost:,} queries; {100 * on_gradients:.0f} % of "
            "them go into gradient estimates"
        )

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[nn.Module]:
        student = kit.new_student()
        generator = kit.new_generator(self.latent_dim, width=self.generator_width)
        student_opt = student_optimizer(student, self.student_optimizer, self.student_lr)
        generator_opt = self.generator_optimizer(generator)
        decays = self.decay_epochs(kit.horizon)
        both = student_opt, generator_opt
        schedules = [LambdaLR(o, lambda past: self.rate(past + 1, decays)) for o in both]
        bought = Replayed(self.replay_steps, oracle.threat, kit.device)

        def draw() -> Tensor:
            """A batch of images before tanh. G's batch norm sees batches of B, as published."""
            z = torch.randn(self.batch_size, self.latent_dim, generator=kit.rng, device=kit.device)
            return generator(z)

        def disagreement(raw: Tensor) -> Tensor:
            images = self.pixels(raw)
            answers = oracle(images, purpose="gradients")
            return self.distance(student(images), self.recover(answers))

        for iteration in kit.loop(
            lambda _: oracle.remaining >= self.queries_per_iteration, schedules=schedules,
            networks=[student, generator], optimizers=[student_opt, generator_opt], bought=bought,
        ):  # fmt: skip
            if iteration and iteration % EPOCH == 0:
                for schedule in schedules:
                    schedule.step()

            # G step: ascend the disagreement
            student.eval()
            for _ in range(self.generator_steps):
                raw = draw()
                with torch.no_grad(), full_float32():
                    gradient = forward_difference(
                        disagreement, raw, directions=self.directions, step=self.step,
                        rng=kit.rng, scale_by_dim=self.scale_by_dim,
                    )  # fmt: skip
                generator_opt.zero_grad()
                raw.backward(-gradient / self._shares(oracle.threat.num_classes))
                generator_opt.step()

            # S step: descend it. G is fixed, so all images of the phase are sent in one batch
            student.train()
            with torch.no_grad():
                images = self.pixels(torch.cat([draw() for _ in range(self.student_steps)]))
            for x, v in bought.batches(oracle, images, self.batch_size, kit.rng):
                loss = self.distance(student(x), self.recover(v)).mean()
                student_opt.zero_grad()
                loss.backward()
                student_opt.step()
            yield student

    def generator_optimizer(self, generator: nn.Module) -> torch.optim.Optimizer:
        return Adam(generator.parameters(), lr=self.generator_lr, fused=True)

    def decay_epochs(self, horizon: int) -> list[int]:
        """floor(Q / 50 c) + 1 epochs of 50 iterations; decays at floor(share * epochs)."""
        epochs = horizon // (self.queries_per_iteration * EPOCH) + 1
        return [int(epochs * share) for share in self.decay_at]

    def rate(self, epoch: int, decays: list[int]) -> float:
        """The factor of both learning rates in `epoch`, counted from 1; decays include their epoch.

        A decay at epoch 0 is left out, so short runs decay less often, as in the released code.
        """
        return self.decay ** sum(0 < at <= epoch for at in decays)

    def pixels(self, raw: Tensor) -> Tensor:
        t = raw.tanh()
        if self.wiring == "pixels":
            return (t + 1) / 2
        return (per_channel(self.mean, t.device) + per_channel(self.std, t.device) * t).clamp(0, 1)

    def recover(self, answers: Tensor) -> Tensor:
        if self.loss == "kl":
            return answers
        return recover_logits(answers, self.recovery, smallest=self.smallest_probability)

    def distance(self, logits: Tensor, target: Tensor) -> Tensor:
        """(n,) distances of student and victim; `target` comes from `recover`."""
        return kl(logits, target) if self.loss == "kl" else logit_l1(logits, target)

    def _shares(self, num_classes: int) -> int:
        """The divisor of the estimate: the released code's K B for l1 and 1 for KL."""
        return 1 if self.loss == "kl" else num_classes * self.batch_size


# The released scripts' schedule and wiring; few real APIs take such inputs.
PROFILES = {
    "cifar10": Dfme(wiring="published"),
    "svhn": Dfme(
        wiring="published", generator_lr=5e-5, decay_at=(0.5, 0.8),
        mean=(0.43768206, 0.44376972, 0.47280434), std=(0.19803014, 0.20101564, 0.19703615),
    ),
    # chosen for 10,000 to 100,000 queries: docs/small_budgets.md
    "small-budget": Dfme(
        batch_size=32, replay_steps=20, student_lr=0.03, generator_lr=1e-3,
    ),
}  # fmt: skip
