"""ZSKD, a white-box reference: distils on images made from the victim's weights and gradients.

Nayak et al., ICML 2019, "Zero-Shot Knowledge Distillation in Deep Networks",
https://arxiv.org/abs/1905.08114. No data and no query: the network is read.

    1. C = W W^T for the last layer's weights, rows of length 1, C rescaled to [0, 1]      (K x K)
    2. y ~ Dirichlet(beta a_k),  a_k = C_k rescaled to [0, 1] + 1e-4,  half of them for each beta
    3. x = argmin E CE(y, softmax(V(x) / tau))  over pixels, from U(0, 1)^d: a data impression
       (before every step the pixels of 100 impressions of a class are rescaled to [0, 1])
    4. min over S of  E tau^2 KL(softmax(V(x) / tau) || softmax(S(x) / tau))

A reference to hold attacks against, not an attack through the API.
Differs from the paper: see docs/attacks/zskd.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Dirichlet

from clonecost.attacks.base import AttackerKit, Declaration, at_least, out_of_range
from clonecost.errors import Advice, ChooseFrom, SetKey, SpecError
from clonecost.oracle import Oracle
from clonecost.training.losses import kl, kl_at
from clonecost.training.optimisers import Adam
from clonecost.training.rand_augment import rand_augment
from clonecost.types import Shape, as_bytes, as_pixels

GROUP = 100  # impressions of one class and beta, whose pixels are rescaled together
LEAST = 1e-4  # added to concentrations, which must be positive
REPORT_EVERY = 20  # steps between two calls of the progress function


@dataclass(frozen=True, kw_only=True)
class Zskd:
    """Optimises images for random targets through the victim's network, then distils from them.

    Example:
        >>> Zskd(impressions=2_000, steps=200, impression_lr=0.01, epochs=50)
    """

    # images made, rounded up to whole groups of 100 for every class and beta
    impressions: int = 40_000
    # betas of the Dirichlet; small ones give targets near a single class
    betas: tuple[float, ...] = (1.0, 0.1)
    temperature: float = 20.0  # tau of the softmax, for impressions and distillation
    steps: int = 1500  # steps of Adam on an impression
    impression_lr: float = 1e-3  # learning rate of Adam on impressions
    at_once: int = 1000  # impressions optimised in one batch: changes memory and speed only
    augment: bool = True  # train on impressions after two random operations each
    epochs: int = 500  # epochs of the student
    batch_size: int = 64  # impressions of a training batch
    lr: float = 1e-3  # learning rate of Adam for the student

    declares: ClassVar = Declaration(needs="label", white_box=True)

    def __post_init__(self) -> None:
        at_least(1, self, "impressions", "steps", "epochs", "at_once")
        at_least(2, self, "batch_size")  # batch norm
        at_least(0, self, "impression_lr", "lr")
        at_least(1e-3, self, "temperature")
        if not self.betas or not all(beta > 0 for beta in self.betas):
            raise out_of_range(self, "betas", "one or more numbers above 0")

    def plan(self, budget: int) -> str:
        return (
            f"reads the network: makes {self.impressions:,} images by {self.steps:,} steps each, "
            "then distils; no query"
        )

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[nn.Module]:
        victim = kit.white_box
        if victim is None:
            raise SpecError(
                "zskd reads the victim's network and got none", SetKey("access", "white-box")
            )
        shape, classes = oracle.threat.input_shape, oracle.threat.num_classes
        similarity = class_similarity(last_weights(victim, classes))
        kinds = list(product(range(classes), self.betas))
        groups = -(-self.impressions // (GROUP * len(kinds)))  # of each kind
        targets = torch.cat([
            dirichlet_targets(similarity[k], beta, groups * GROUP, kit.rng) for k, beta in kinds
        ])  # fmt: skip
        yield self.distil(self.make_impressions(targets, shape, victim, kit), victim, kit)

    def make_impressions(
        self, targets: Tensor, shape: Shape, victim: nn.Module, kit: AttackerKit
    ) -> Tensor:
        """(n, *shape) uint8 for targets (n, K), n a multiple of GROUP."""
        made: list[Tensor] = []
        parts = targets.split(max(1, self.at_once // GROUP) * GROUP)
        for number in kit.loop(lambda done: done < len(parts), made=made):
            target = parts[number]
            x = torch.rand(len(target), *shape, generator=kit.rng, device=kit.device)
            x.requires_grad_()
            optimizer = Adam([x], self.impression_lr, fused=True)
            for step in range(self.steps):
                stretch(x)
                # a sum, so that no impression's gradient depends on the size of the batch
                loss = kl(victim(x) / self.temperature, target).sum() / GROUP
                optimizer.zero_grad()
                loss.backward(inputs=[x])
                optimizer.step()
                if (step + 1) % REPORT_EVERY == 0 or step + 1 == self.steps:
                    done = number * self.steps + step + 1
                    kit.progress("making impressions", done, len(parts) * self.steps)
            stretch(x)
            made.append(as_bytes(x.detach()))
        return torch.cat(made)

    def distil(self, images: Tensor, victim: nn.Module, kit: AttackerKit) -> nn.Module:
        student = kit.new_student()
        optimizer = Adam(student.parameters(), self.lr, fused=True)
        for epoch in kit.loop(
            lambda done: done < self.epochs, student=student, optimizer=optimizer
        ):
            order = torch.randperm(len(images), generator=kit.rng, device=kit.device)
            for rows in order.split(self.batch_size):
                if len(rows) == 1:
                    continue  # batch norm needs two rows; another epoch includes this one
                x = as_pixels(images[rows])
                if self.augment:
                    x = rand_augment(x, kit.rng)
                with torch.no_grad():
                    logits = victim(x)  # of the augmented images
                loss = kl_at(student(x), logits, self.temperature).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            kit.progress("training the student", epoch + 1, self.epochs)
        return student


def last_weights(network: nn.Module, classes: int) -> Tensor:
    """(K, features) weights of the last linear layer with an output for each class.

    Raises:
        SpecError: there is none.
    """
    layers = [
        m for m in network.modules() if isinstance(m, nn.Linear) and m.out_features == classes
    ]
    if not layers:
        raise SpecError(
            f"zskd reads the weights of a last linear layer with {classes} outputs, and the "
            f"victim's {type(network).__name__} has none",
            ChooseFrom("attacks"), Advice("give a network that ends in such a layer"),
        )  # fmt: skip
    return layers[-1].weight.detach()


def class_similarity(weights: Tensor) -> Tensor:
    """(K, features) -> (K, K) cosines between the rows, the least 0 and the greatest 1."""
    rows = nn.functional.normalize(weights, dim=1)
    return to_unit(rows @ rows.T)


def dirichlet_targets(similarity: Tensor, beta: float, count: int, rng: torch.Generator) -> Tensor:
    """(count, K) draws of Dirichlet(beta a), a the class's similarities (K,) rescaled to [0, 1].

    beta multiplies the rescaled similarities; before the rescaling it would cancel out.
    """
    concentration = beta * (to_unit(similarity) + LEAST)
    seed = int(torch.randint(2**62, (1,), generator=rng, device=rng.device))
    with torch.random.fork_rng(devices=[]):  # torch's Dirichlet takes no generator
        torch.default_generator.manual_seed(seed)
        drawn = Dirichlet(concentration.cpu().double()).sample((count,))
    return drawn.float().to(similarity.device)


def to_unit(values: Tensor) -> Tensor:
    """The values rescaled so that the least is 0 and the greatest 1."""
    low, high = values.aminmax()
    return (values - low) / (high - low).clamp_min(1e-12)


@torch.no_grad()
def stretch(images: Tensor) -> None:
    """Rescale the pixels of every group of 100 images (n, C, H, W) to [0, 1], in place."""
    groups = images.view(-1, GROUP, *images.shape[1:])
    dims = tuple(range(1, groups.ndim))
    low, high = groups.amin(dims, keepdim=True), groups.amax(dims, keepdim=True)
    groups.sub_(low).div_((high - low).clamp_min(1e-12))
