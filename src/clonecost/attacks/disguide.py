"""DisGUIDE: trains a generator on the disagreement of two clones, without data.

Rosenthal, Enouen, Pham, Tan, AAAI 2023, "Disagreement-Guided Data-Free Model Extraction".

    G step      max over G of  mean_{n,k} std_j p_jk(x) - lambda sum_k q_k log q_k,   x = tanh(G(z))
                p_j = softmax S_j(x), q the mean of p over clones and batch; exact, no query
    clone step  min over all S_j of  L(V(x), S_j(x))  on fresh images;         B queries
    replay (x 3)  the same on B of the last 1,000,000 bought rows;              no query

    L: (1/K) |v - s|_1 with v = log V(x) - mean log V(x), or cross-entropy if V answers labels

The clone is the soft vote of all S_j. One iteration costs B = 256 queries.
Differs from the paper: see docs/attacks/disguide.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from clonecost.attacks.base import AttackerKit, Declaration, at_least
from clonecost.networks.soft_vote import SoftVote
from clonecost.oracle import Oracle
from clonecost.training.optimisers import Adam
from clonecost.training.replay_buffer import Replay
from clonecost.training.student_loss import imitation
from clonecost.training.student_optimizer import StudentOptimizer, student_optimizer
from clonecost.types import as_bytes, as_pixels

EPOCH = 150  # iterations, between steps of the schedule


@dataclass(frozen=True, kw_only=True)
class Disguide:
    """Trains several clones with replay, and a generator on their disagreement.

    Example:
        >>> Disguide(batch_size=64, generator_width=16, vote=False)
    """

    batch_size: int = 256  # B, images of a batch
    latent_dim: int = 256  # dimension of the latents
    clones: int = 2  # j, clones trained together
    generator_steps: int = 1  # steps of the generator in an iteration
    clone_steps: int = 1  # steps of the clones on new images in an iteration
    replay_steps: int = 3  # steps of the clones on replayed rows in an iteration
    replay_rows: int = 1_000_000  # rows of the replay buffer, at most those of the budget
    diversity: float = 0.2  # lambda, weight of the diversity loss; 0.04 for CIFAR-100
    grey_every: int = 8  # one of this many RGB images is grey; 0: none
    student_lr: float = 0.03  # learning rate of the clones
    student_optimizer: StudentOptimizer = "sgd"  # adam: for budgets that leave few steps
    loss: Literal["l1", "kl"] = "l1"  # distance between the victim's probabilities and a clone's
    generator_lr: float = 1e-4  # learning rate of the generator
    decay_at: tuple[float, ...] = (0.4, 0.8)  # shares of the epochs after which both rates fall
    decay: float = 0.3  # factor of both learning rates at each fall
    # floor of a probability before the logarithm; for an API that rounds: half its resolution
    smallest_probability: float = 1e-30
    generator_width: int = 64  # channels of the generator's narrowest layer
    vote: bool = True  # the result is the soft vote of all clones; False: the first clone alone

    declares: ClassVar = Declaration(needs="label", by_settings=("queries_per_iteration",))

    def __post_init__(self) -> None:
        at_least(1, self, "latent_dim", "generator_steps", "clone_steps", "replay_rows",
                 "generator_width")  # fmt: skip
        at_least(2, self, "batch_size", "clones")  # batch norm; one clone has no disagreement
        at_least(0, self, "replay_steps", "diversity", "grey_every", "student_lr", "generator_lr",
                 "decay")  # fmt: skip
        at_least(1e-38, self, "smallest_probability")

    @property
    def queries_per_iteration(self) -> int:
        return self.batch_size * self.clone_steps

    def plan(self, budget: int) -> str:
        cost = self.queries_per_iteration
        return (
            f"{budget // cost:,} iterations of {cost:,} queries; training the generator costs "
            "no query"
        )

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[nn.Module]:
        shape, classes = oracle.threat.input_shape, oracle.threat.num_classes
        hard = oracle.threat.answers != "probs"
        clones = SoftVote([kit.new_student() for _ in range(self.clones)])
        generator = kit.new_generator(self.latent_dim, width=self.generator_width)
        weights = list(generator.parameters())
        clones_opt = student_optimizer(clones, self.student_optimizer, self.student_lr)
        generator_opt = Adam(weights, lr=self.generator_lr, fused=True)
        decays = self.decay_epochs(kit.horizon)
        schedules = [
            torch.optim.lr_scheduler.LambdaLR(o, lambda epoch: self.rate(epoch, decays))
            for o in (clones_opt, generator_opt)
        ]
        capacity = min(self.replay_rows, oracle.threat.query_budget)
        replay = Replay(capacity, shape, classes, kit.device) if self.replay_steps else None

        def draw() -> Tensor:
            """A batch of images in [0, 1]."""
            z = torch.randn(self.batch_size, self.latent_dim, generator=kit.rng, device=kit.device)
            return grey((generator(z).tanh() + 1) / 2, self.grey_every, kit.rng)

        def learn(images: Tensor, answers: Tensor) -> None:
            logits = [clone(images) for clone in clones.members]
            loss = imitation(
                logits, answers, hard=hard, loss=self.loss, smallest=self.smallest_probability
            )
            clones_opt.zero_grad()
            loss.backward()
            clones_opt.step()

        for iteration in kit.loop(
            lambda _: oracle.remaining >= self.queries_per_iteration, schedules=schedules,
            networks=[clones, generator], optimizers=[clones_opt, generator_opt], replay=replay,
        ):  # fmt: skip
            if iteration and iteration % EPOCH == 0:
                for schedule in schedules:
                    schedule.step()

            # G step: exact gradients through the clones, which are fixed
            generator.train()
            clones.eval()
            for _ in range(self.generator_steps):
                images = draw()
                p = torch.stack([clone(images).softmax(1) for clone in clones.members])
                loss = self.diversity * negative_entropy(p) - disagreement(p)
                generator_opt.zero_grad()
                loss.backward(inputs=weights)
                generator_opt.step()

            # clone step: G is fixed, so all images of the phase are sent in one batch
            generator.eval()
            clones.train()
            with torch.no_grad():
                sent = as_bytes(torch.cat([draw() for _ in range(self.clone_steps)]))
            answers = oracle(as_pixels(sent))
            for x, v in zip(
                sent.split(self.batch_size), answers.split(self.batch_size), strict=True
            ):
                learn(as_pixels(x), v)

            if replay is not None:
                replay.add(sent, answers)
                for _ in range(self.replay_steps):
                    learn(*replay.draw(self.batch_size, kit.rng))
            yield clones if self.vote else clones.members[0]

    def decay_epochs(self, horizon: int) -> list[int]:
        """floor(Q / 150 c) + 1 epochs of 150 iterations; decays after floor(share * epochs)."""
        epochs = horizon // (self.queries_per_iteration * EPOCH) + 1
        return [int(epochs * share) for share in self.decay_at]

    def rate(self, past: int, decays: list[int]) -> float:
        """The factor of both learning rates after `past` epochs; a decay at epoch 0 is left out."""
        return self.decay ** sum(0 < at <= past for at in decays)


def disagreement(p: Tensor) -> Tensor:
    """Mean over rows and classes of the sample standard deviation over clones.

    Args:
        p: (clones, n, K) probabilities. For two clones the result is mean |p_1 - p_2| / sqrt 2.
    """
    return p.std(0).mean()


def negative_entropy(p: Tensor) -> Tensor:
    """sum_k q_k log q_k, least for balanced classes; q is the mean of p + 1e-6, (clones, n, K)."""
    q = (p + 1e-6).mean((0, 1))
    return (q * q.log()).sum()


def grey(images: Tensor, every: int, rng: torch.Generator) -> Tensor:
    """(n, C, H, W); RGB rows 0, every, 2 every, ... have one random channel in all three.

    No gradient flows through the two copies of the channel.
    """
    if not every or images.shape[1] != 3:
        return images
    some = images[::every]
    chosen = torch.randint(3, (len(some), 1, 1, 1), generator=rng, device=images.device)
    copy = some.take_along_dim(chosen, 1).detach()
    itself = torch.arange(3, device=images.device).view(1, 3, 1, 1) == chosen
    whole = images.clone()
    whole[::every] = torch.where(itself, some, copy)
    return whole


PROFILES = {
    "cifar100": Disguide(diversity=0.04),
    # chosen for 10,000 to 100,000 queries: docs/small_budgets.md
    "small-budget": Disguide(
        batch_size=32, replay_steps=6, diversity=1.0, student_lr=0.1, loss="kl", generator_lr=5e-4
    ),
}
