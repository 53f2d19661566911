"""A GAN whose generator also balances the classes of a clone, as in DeGAN and DFMS.

    L_D = E softplus(-D(x)) + E softplus(D(G(z)))        binary cross-entropy, D giving logits
    L_G = E softplus(-D(G(z))) + w sum_k p_k log p_k     p = mean of the clone's softmax over G(z)
                               + c E H(clone(G(z)))

Sanyal, Addepalli, Babu, CVPR 2022, https://arxiv.org/abs/2204.11022; Addepalli et al., AAAI 2020,
https://arxiv.org/abs/1912.11960, with the victim itself in the clone's place. It sends no query:
gradients come from the clone, or from a white box.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from clonecost.networks.dcgan import LATENT_DIM
from clonecost.networks.image_range import to_pixels, to_space
from clonecost.persistence.resumable_loop import Stateful
from clonecost.training.augmentation import Augment, augment
from clonecost.training.class_balance import imbalance
from clonecost.training.losses import entropy
from clonecost.training.optimisers import Adam
from clonecost.types import LabelledInputs, as_bytes, as_pixels


class DivGan:
    """G and D, an optimiser for each, and the real images for D.

    Args:
        generator: (n, 100) -> (n, C, H, W) in [-1, 1], in train mode; the mode stays.
        discriminator: (n, C, H, W) in [-1, 1] -> (n,) logits of being real.
        data: the real images, on the device; the labels are not used.
        batch_size: rows of a step.
        lr: learning rate of both optimisers, Adam with betas (0.5, 0.999).
        rng: on the device.
        augment: the augmentation of D's real images.
    """

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, data: LabelledInputs, *,
        batch_size: int, lr: float, rng: torch.Generator, augment: Augment = "crop+flip",
    ) -> None:  # fmt: skip
        self._augment: Augment = augment
        self._generator, self._discriminator = generator, discriminator
        self._opt_g, self._opt_d = (
            Adam(n.parameters(), lr, (0.5, 0.999), fused=True) for n in (generator, discriminator)
        )
        self._batch_size, self._rng, self._data = batch_size, rng, data
        self.epoch = max(1, len(data) // batch_size)  # steps
        self._order, self._shown = torch.empty(0, dtype=torch.int64), self.epoch

    def images(self) -> Tensor:
        """(batch_size, C, H, W) pixels in [0, 1], differentiable in G's weights."""
        size = (self._batch_size, LATENT_DIM)
        z = torch.randn(size, generator=self._rng, device=self._rng.device)
        return to_pixels(self._generator(z))

    @torch.no_grad()
    def sample(self, count: int) -> Tensor:
        """(count, C, H, W) uint8, made in whole batches because of G's batch norm."""
        parts = [as_bytes(self.images()) for _ in range(-(-count // self._batch_size))]
        return torch.cat(parts)[:count]

    def learn(
        self, fake: Tensor, clone: nn.Module | None = None, weight: float = 0.0,
        certainty: float = 0.0,
    ) -> None:  # fmt: skip
        """One step of G, then one of D, both on `fake` from `images`.

        Args:
            fake: (batch_size, C, H, W) from `images`.
            clone: pixels -> logits, in eval mode; its weights get no gradient. None: a plain GAN.
            weight: w, of the class balance in L_G.
            certainty: c, of the mean entropy of the clone's answers in L_G.
        """
        loss = softplus(-self._discriminator(to_space(fake))).mean()
        if clone is not None:
            logits = clone(fake)
            loss = loss + weight * imbalance(logits)
            if certainty:
                loss = loss + certainty * entropy(logits.softmax(1)).mean()
        self._opt_g.zero_grad()
        # with G's parameters as inputs, no gradients of D's and the clone's weights are computed
        torch.autograd.backward(loss, inputs=list(self._generator.parameters()))
        self._opt_g.step()

        # two passes: real and generated images have separate batch statistics
        on_real = self._discriminator(to_space(self._real()))
        on_fake = self._discriminator(to_space(fake.detach()))
        loss = softplus(-on_real).mean() + softplus(on_fake).mean()
        self._opt_d.zero_grad()
        loss.backward()
        self._opt_d.step()

    def _real(self) -> Tensor:
        """The next batch of pixels; every epoch has a new order and drops an incomplete batch."""
        if self._shown == self.epoch:
            rows = len(self._data)
            self._order = torch.randperm(rows, generator=self._rng, device=self._rng.device)
            self._shown = 0
        rows = self._order.split(self._batch_size)[self._shown]
        self._shown += 1
        return as_pixels(augment(self._data.inputs[rows], self._augment, self._rng))

    @property
    def _parts(self) -> list[Stateful]:
        return [self._generator, self._discriminator, self._opt_g, self._opt_d]

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self._parts], "order": self._order,
                "shown": self._shown}  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for part, saved in zip(self._parts, state["parts"], strict=True):
            part.load_state_dict(saved)
        self._order, self._shown = state["order"], state["shown"]
