"""A GAN whose generator is also told to please every class of a clone: DeGAN's and DFMS's.

    L_D = E softplus(-D(x)) + E softplus(D(G(z)))        binary cross-entropy, D giving logits
    L_G = E softplus(-D(G(z))) + w sum_k p_k log p_k     p = mean of the clone's softmax over G(z)
                               + c E H(clone(G(z)))

Sanyal, Addepalli, Babu, CVPR 2022, https://arxiv.org/abs/2204.11022; Addepalli et al., AAAI 2020,
https://arxiv.org/abs/1912.11960, where the victim itself stands in the clone's place. Costs no
queries: gradients are the clone's, or those of a white box.
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
from clonecost.types import LabelledInputs, as_bytes, as_pixels


class DivGan:
    """G and D with an optimiser each, and the real images that D sees.

    Args:
        generator: (n, 100) -> (n, C, H, W) in [-1, 1], in train mode, where it stays.
        discriminator: (n, C, H, W) in [-1, 1] -> (n,) logits of being real.
        data: the real images, on the device; its labels are not looked at.
        lr: of both, Adam with betas (.5, .999).
        rng: on the device.
        augment: how D's real images are varied.
    """

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, data: LabelledInputs, *,
        batch_size: int, lr: float, rng: torch.Generator, augment: Augment = "crop+flip",
    ) -> None:  # fmt: skip
        self._augment: Augment = augment
        self._generator, self._discriminator = generator, discriminator
        self._opt_g, self._opt_d = (
            torch.optim.Adam(n.parameters(), lr, (0.5, 0.999), fused=True)
            for n in (generator, discriminator)
        )
        self._batch_size, self._rng, self._data = batch_size, rng, data
        self.epoch = max(1, len(data) // batch_size)  # steps
        self._order, self._shown = torch.empty(0, dtype=torch.int64), self.epoch  # of the data

    def images(self) -> Tensor:
        """(batch_size, C, H, W) pixels in [0, 1], with a graph that leads to G."""
        size = (self._batch_size, LATENT_DIM)
        z = torch.randn(size, generator=self._rng, device=self._rng.device)
        return to_pixels(self._generator(z))

    @torch.no_grad()
    def made(self, count: int) -> Tensor:
        """(count, C, H, W) uint8, from whole batches, as G's batch norm knows them."""
        parts = [as_bytes(self.images()) for _ in range(-(-count // self._batch_size))]
        return torch.cat(parts)[:count]

    def learn(
        self, fake: Tensor, clone: nn.Module | None = None, weight: float = 0.0,
        certainty: float = 0.0,
    ) -> None:  # fmt: skip
        """One step of G, then one of D, both on `fake` from `images`.

        Args:
            clone: pixels -> logits, in eval mode; None: a plain GAN. Its weights get no gradient.
            weight: w, of the clone's part of L_G.
            certainty: c, of the mean entropy of its answers.
        """
        loss = softplus(-self._discriminator(to_space(fake))).mean()
        if clone is not None:
            logits = clone(fake)
            loss = loss + weight * imbalance(logits)
            if certainty:
                loss = loss + certainty * entropy(logits.softmax(1)).mean()
        self._opt_g.zero_grad()
        # asking for G's gradients only spares those of D's and the clone's weights
        torch.autograd.backward(loss, inputs=list(self._generator.parameters()))
        self._opt_g.step()

        # two passes: real and generated images have batch statistics of their own
        on_real = self._discriminator(to_space(self._real()))
        on_fake = self._discriminator(to_space(fake.detach()))
        loss = softplus(-on_real).mean() + softplus(on_fake).mean()
        self._opt_d.zero_grad()
        loss.backward()
        self._opt_d.step()

    def _real(self) -> Tensor:
        """The next batch of pixels: epochs in ever new orders; what does not fill one is left."""
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
        for part, held in zip(self._parts, state["parts"], strict=True):
            part.load_state_dict(held)
        self._order, self._shown = state["order"], state["shown"]
