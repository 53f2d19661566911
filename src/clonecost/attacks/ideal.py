"""IDEAL: trains a new generator on the student's confidence in each round, without data.

Zhang, Chen, Lyu, ICLR 2023, https://arxiv.org/abs/2205.11158. A round is two stages:

    data generation (no query):   a new G and B latents z ~ N(0, I);  x = G(z),  p = softmax S(x)
        min over G of  CE(p, argmax p)  +  lambda sum_k m_k log m_k,    m = mean of p over the batch
                       confidence          balance
    model distillation:           the B images are queried once and join the pool;
        min over S of  CE(S(x), V(x))  over the pool

The student is corrected where it was confident and wrong. A round costs B queries: 250.
Differs from the paper, which was not available in full: see docs/attacks/ideal.md.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from clonecost.attacks.base import AttackerKit, Declaration, at_least
from clonecost.oracle import Oracle
from clonecost.training.class_balance import imbalance
from clonecost.training.losses import kl
from clonecost.training.optimisers import SGD, Adam
from clonecost.training.replay_buffer import Replay
from clonecost.types import as_bytes, as_pixels


@dataclass(frozen=True, kw_only=True)
class Ideal:
    """Queries each image of a generator once; the generator is trained against the student only.

    Example:
        >>> Ideal(batch_size=100, student_steps=50, generator_width=16)
    """

    batch_size: int = 250  # B, as in the authors' instructions for MNIST: 100 rounds
    latent_dim: int = 256  # dimension of the latents
    generator_steps: int = 30  # steps of the generator in a round
    generator_lr: float = 1e-3  # learning rate of Adam for the generator
    balance: float = 5.0  # lambda, weight of the balance of classes
    student_steps: int = 100  # steps of the student in a round, on batches drawn from the pool
    student_batch: int = 128  # rows of a batch of the student
    student_lr: float = (
        0.01  # first learning rate of SGD, which falls by half a cosine over the budget
    )
    generator_width: int = 64  # channels of the generator's narrowest layer

    declares: ClassVar = Declaration(needs="label", by_settings=("queries_per_iteration",))

    def __post_init__(self) -> None:
        at_least(2, self, "batch_size", "student_batch")  # batch norm
        at_least(1, self, "latent_dim", "generator_width", "student_steps")
        at_least(0, self, "generator_steps", "generator_lr", "balance", "student_lr")

    @property
    def queries_per_iteration(self) -> int:
        return self.batch_size

    def plan(self, budget: int) -> str:
        return (
            f"{budget // self.batch_size:,} rounds of {self.batch_size:,} new images, each queried "
            "once; training the generator costs no query"
        )

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[nn.Module]:
        threat = oracle.threat
        student = kit.new_student()
        student_opt = SGD(
            student.parameters(), lr=self.student_lr, momentum=0.9, weight_decay=5e-4, fused=True
        )
        rounds = max(1, kit.horizon // self.batch_size)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            student_opt, lambda past: (1 + math.cos(math.pi * past / rounds)) / 2
        )
        pool = Replay(threat.query_budget, threat.input_shape, threat.num_classes, kit.device)

        for _ in kit.loop(
            lambda _: oracle.remaining >= self.batch_size,
            student=student, student_opt=student_opt, schedule=schedule, pool=pool,
        ):  # fmt: skip
            # data generation: against the student, without a query
            student.eval()
            generator = kit.new_generator(self.latent_dim, width=self.generator_width)
            parameters = list(generator.parameters())
            generator_opt = Adam(parameters, self.generator_lr, fused=True)
            z = torch.randn(self.batch_size, self.latent_dim, generator=kit.rng, device=kit.device)
            for _ in range(self.generator_steps):
                logits = student((generator(z).tanh() + 1) / 2)
                confidence = cross_entropy(logits, logits.argmax(1))
                loss = confidence + self.balance * imbalance(logits)
                generator_opt.zero_grad()
                loss.backward(inputs=parameters)
                generator_opt.step()
            with torch.no_grad():
                images = as_bytes((generator(z).tanh() + 1) / 2)

            # model distillation: KL, which is cross-entropy up to a constant
            pool.add(images, oracle(as_pixels(images)))
            student.train()
            for _ in range(self.student_steps):
                x, answers = pool.draw(self.student_batch, kit.rng)
                loss = kl(student(x), answers).mean()
                student_opt.zero_grad()
                loss.backward()
                student_opt.step()
            schedule.step()
            yield student
