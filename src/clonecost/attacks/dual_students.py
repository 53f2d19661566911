"""Dual Student Networks: trains a generator on the disagreement of two students, without data.

Beetham, Kardan, Mian, Shah, ICLR 2023, https://arxiv.org/abs/2309.10058.

    min over S_1, S_2, max over G of  E_z  D,    x = tanh(G(z)),  z ~ N(0, I)

    G step        D = |S_1(x) - S_2(x)|_1: exact gradients, no query
    student step  D = L(V(x), S_1(x)) + L(V(x), S_2(x)) on fresh images;       B queries

    L: (1/K) |v - s|_1 with v = log V(x) - mean log V(x), or cross-entropy if V answers labels

As DFME, but no query is spent on gradients: one iteration costs B s = 256 x 5 = 1,280 queries.
The constants are the released code's; the paper was not consulted: docs/attacks/dual_students.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from clonecost.attacks._replayed import Replayed
from clonecost.attacks.base import AttackerKit, Declaration, at_least
from clonecost.oracle import Oracle
from clonecost.training.losses import l1, logit_l1
from clonecost.training.optimisers import Adam
from clonecost.training.student_loss import imitation
from clonecost.training.student_optimizer import StudentOptimizer, student_optimizer


@dataclass(frozen=True, kw_only=True)
class DualStudents:
    """Trains two students on the victim's answers, and a generator on their disagreement.

    Example:
        >>> DualStudents(batch_size=64, student_steps=2, generator_width=16)
    """

    batch_size: int = 256  # B, images of a batch
    latent_dim: int = 256  # dimension of the latents
    generator_steps: int = 1  # steps of the generator in an iteration
    student_steps: int = 5  # s, steps of both students in an iteration
    replay_steps: int = 0  # further steps of both students on rows that trained them before
    student_lr: float = 0.3  # learning rate of both students
    student_optimizer: StudentOptimizer = "sgd"  # adam: for budgets that leave few steps
    loss: Literal["l1", "kl"] = "l1"  # distance between the victim's probabilities and a student's
    generator_lr: float = 1e-4  # learning rate of the generator
    # shares of the budget at which both learning rates fall
    decay_at: tuple[float, ...] = (0.1, 0.3, 0.5)
    decay: float = 0.3  # factor of both learning rates at each fall
    # floor of a probability before the logarithm; for an API that rounds: half its resolution
    smallest_probability: float = 1e-30
    generator_width: int = 64  # channels of the generator's narrowest layer

    declares: ClassVar = Declaration(needs="label", by_settings=("queries_per_iteration",))

    def __post_init__(self) -> None:
        at_least(1, self, "latent_dim", "generator_steps", "student_steps", "generator_width")
        at_least(2, self, "batch_size")  # batch norm
        at_least(0, self, "student_lr", "generator_lr", "decay", "replay_steps")
        at_least(1e-38, self, "smallest_probability")

    @property
    def queries_per_iteration(self) -> int:
        return self.batch_size * self.student_steps

    def plan(self, budget: int) -> str:
        cost = self.queries_per_iteration
        return (
            f"{budget // cost:,} iterations of {cost:,} queries; training the generator costs "
            "no query"
        )

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[nn.Module]:
        hard = oracle.threat.answers != "probs"
        students = nn.ModuleList([kit.new_student(), kit.new_student()])
        generator = kit.new_generator(self.latent_dim, width=self.generator_width)
        weights = list(generator.parameters())
        students_opt = student_optimizer(students, self.student_optimizer, self.student_lr)
        generator_opt = Adam(weights, lr=self.generator_lr, fused=True)
        decays = self.decays(kit.horizon)
        schedules = [
            torch.optim.lr_scheduler.LambdaLR(o, lambda past: self.rate(past, decays))
            for o in (students_opt, generator_opt)
        ]

        bought = Replayed(self.replay_steps, oracle.threat, kit.device)

        def draw() -> Tensor:
            """A batch of images in [0, 1]."""
            z = torch.randn(self.batch_size, self.latent_dim, generator=kit.rng, device=kit.device)
            return (generator(z).tanh() + 1) / 2

        for _ in kit.loop(
            lambda _: oracle.remaining >= self.queries_per_iteration, schedules=schedules,
            networks=[students, generator], optimizers=[students_opt, generator_opt],
            bought=bought,
        ):  # fmt: skip
            # G step: ascend the disagreement, with exact gradients through both students
            generator.train()
            students.eval()
            for _ in range(self.generator_steps):
                images = draw()
                one, two = (student(images) for student in students)
                loss = -disagreement(one, two, hard=hard)
                generator_opt.zero_grad()
                loss.backward(inputs=weights)
                generator_opt.step()

            # student step: G is fixed, so all images of the phase are sent in one batch
            generator.eval()
            students.train()
            with torch.no_grad():
                images = torch.cat([draw() for _ in range(self.student_steps)])
            for x, v in bought.batches(oracle, images, self.batch_size, kit.rng):
                logits = [student(x) for student in students]
                loss = imitation(
                    logits, v, hard=hard, loss=self.loss, smallest=self.smallest_probability
                )
                students_opt.zero_grad()
                loss.backward()
                students_opt.step()
            for schedule in schedules:
                schedule.step()
            yield students[0]

    def decays(self, horizon: int) -> list[int]:
        """Numbers of iterations after which the learning rates fall."""
        iterations = horizon // self.queries_per_iteration
        return [int(iterations * share) for share in self.decay_at]

    def rate(self, past: int, decays: list[int]) -> float:
        """The factor of both learning rates after `past` iterations."""
        return self.decay ** sum(0 < at <= past for at in decays)


def disagreement(one: Tensor, two: Tensor, *, hard: bool) -> Tensor:
    """Mean l1 distance of two students' logits, (n, K) each; of probabilities for hard labels.

    Cross-entropy does not bound the scale of the logits, so G would only enlarge it.
    """
    distance = l1(one, two.softmax(1)) if hard else logit_l1(one, two)
    return distance.mean()


# chosen for 10,000 to 100,000 queries: docs/small_budgets.md
PROFILES = {
    "small-budget": DualStudents(
        batch_size=16, student_steps=1, replay_steps=10, student_lr=0.1, loss="kl"
    )
}
