"""DeGAN, a white-box reference: distils on a GAN's images, balanced by the victim's gradients.

Addepalli et al., AAAI 2020, "DeGAN: Data-Enriching GAN for Retrieving Representative Samples from a
Trained Classifier", https://arxiv.org/abs/1912.11960. No query: gradients pass through the network.

    1. L_D = E BCE(D(proxy), 1) + E BCE(D(G(z)), 0)
       L_G = E BCE(D(G(z)), 1) + c_l E H(V(G(z))) + d_l sum_k p_k log p_k,   p = mean of V(G(z))
    2. min over S of  E T^2 KL(softmax(V(x) / T) || softmax(S(x) / T)),   x = G(z) fresh every time,
       until S agrees no better with V on fresh images; then once more at a tenth of the rate

A reference to hold attacks against, not an attack through the API.
Differs from the paper: see docs/attacks/degan.md.
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from clonecost.attacks.base import AttackerKit, Declaration, at_least
from clonecost.errors import SetKey, SpecError
from clonecost.networks.dcgan import LATENT_DIM, DcganDiscriminator, DcganGenerator
from clonecost.networks.image_range import to_pixels
from clonecost.oracle import Oracle
from clonecost.query_synthesis.class_balanced_gan import DivGan
from clonecost.training.losses import kl_at
from clonecost.training.optimisers import Adam

STEPS_AN_EPOCH = 25  # as published: 50,000 rows in batches of 2,048, reduced to the proxy's classes
AT_ONCE = 1024  # images in one forward pass of G or V


@dataclass(frozen=True, kw_only=True)
class Degan:
    """Trains a GAN on proxy data through the victim's network, then distils from its images.

    Example:
        >>> Degan(gan_width=16, gan_epochs=5, epochs=20, patience=5)
    """

    gan_epochs: int = 200  # epochs of the GAN over the proxy data
    gan_batch: int | None = None  # rows of a GAN batch; None: a 25th of the proxy data
    gan_lr: float = 2e-4  # learning rate of generator and discriminator
    gan_width: int = 64  # channels of the GAN's narrowest layer
    certainty: float = 0.0  # c_l, weight of the mean entropy of an answer
    diversity: float = 5.0  # d_l, weight of the loss for balanced classes
    temperature: float = 20.0  # T of the softmax in the student's loss
    batch_size: int = 64  # images of a training batch
    batches: int = 256  # batches of new images in one epoch of the student
    validation_batches: int = 64  # batches of new images that the student is validated on
    epochs: int = 5000  # epochs of the student at each learning rate, at most
    patience: int = 100  # epochs without a better agreement that end a learning rate
    lr: float = 1e-3  # first learning rate of Adam
    last_lr: float = 1e-4  # last learning rate of Adam

    declares: ClassVar = Declaration(needs="label", proxy="changed", white_box=True)

    def __post_init__(self) -> None:
        at_least(2, self, "gan_batch", "batch_size")  # batch norm
        at_least(1, self, "gan_width", "batches", "validation_batches", "epochs", "patience")
        at_least(0, self, "gan_epochs", "gan_lr", "certainty", "diversity", "lr", "last_lr")
        at_least(1e-3, self, "temperature")

    def plan(self, budget: int) -> str:
        return (
            f"reads the network: trains a DCGAN for {self.gan_epochs:,} epochs of the proxy, then "
            f"distils from its images for at most {2 * self.epochs:,} epochs; no query"
        )

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[nn.Module]:
        victim = kit.white_box
        if victim is None:
            raise SpecError(
                "degan reads the victim's network and got none", SetKey("access", "white-box")
            )
        generator = self.trained_generator(victim, kit)
        student = kit.new_student()
        for rate in (self.lr, self.last_lr):
            self.distil(student, generator, victim, rate, kit)
        yield student

    def trained_generator(self, victim: nn.Module, kit: AttackerKit) -> nn.Module:
        """The generator of stage 1, in eval mode and frozen."""
        proxy = kit.required_proxy(self).to(kit.device)
        generator = kit.initialised(lambda: DcganGenerator(proxy.shape, self.gan_width))
        gan = DivGan(
            generator, kit.initialised(lambda: DcganDiscriminator(proxy.shape, self.gan_width)),
            proxy, batch_size=self.gan_batch or max(2, len(proxy) // STEPS_AN_EPOCH),
            lr=self.gan_lr, rng=kit.rng, augment="none",
        )  # fmt: skip
        for epoch in kit.loop(lambda done: done < self.gan_epochs, gan=gan):
            for _ in range(gan.epoch):
                gan.learn(gan.images(), victim, self.diversity, self.certainty)
            kit.progress("training DeGAN", epoch + 1, self.gan_epochs)
        return generator.eval().requires_grad_(False)

    def distil(
        self, student: nn.Module, generator: nn.Module, victim: nn.Module, rate: float,
        kit: AttackerKit,
    ) -> None:  # fmt: skip
        """Stage 2 at one rate; the student ends with the weights of its best agreement."""
        optimizer = Adam(student.parameters(), rate, (0.5, 0.999), fused=True)

        def fresh(batches: int) -> tuple[Tensor, Tensor]:
            return answered(generator, victim, batches * self.batch_size, kit.rng)

        best: dict[str, Any] = {"agreement": -1.0, "since": 0, "weights": student.state_dict()}
        for epoch in kit.loop(
            lambda done: done < self.epochs and best["since"] <= self.patience,
            student=student, optimizer=optimizer, best=best,
        ):  # fmt: skip
            student.train()
            images, logits = fresh(self.batches)
            for x, v in zip(
                images.split(self.batch_size), logits.split(self.batch_size), strict=True
            ):
                loss = kl_at(student(x), v, self.temperature).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            kit.progress(f"training the student at {rate:g}", epoch + 1, self.epochs)
            now = agreement(student.eval(), *fresh(self.validation_batches))
            best["since"] += 1
            if now > best["agreement"]:
                best.update(agreement=now, since=0, weights=deepcopy(student.state_dict()))
        student.load_state_dict(best["weights"])


@torch.no_grad()
def answered(
    generator: nn.Module, victim: nn.Module, count: int, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Images G(z) (count, C, H, W) in [0, 1], and the network's logits (count, K)."""
    z = torch.randn(count, LATENT_DIM, generator=rng, device=rng.device)
    images = torch.cat([to_pixels(generator(part)) for part in z.split(AT_ONCE)])
    return images, torch.cat([victim(part) for part in images.split(AT_ONCE)])


@torch.no_grad()
def agreement(student: nn.Module, images: Tensor, logits: Tensor) -> float:
    """Share of the images on which student and victim predict the same class; modes stay.

    Args:
        images: (n, C, H, W) in [0, 1].
        logits: (n, K) the victim's.
    """
    predicted = torch.cat([student(part).argmax(1) for part in images.split(AT_ONCE)])
    return float((predicted == logits.argmax(1)).float().mean())
