"""What a generator's file gives to the table, and what the table gives to attacks."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from clonecost.data.fitting import LUMA
from clonecost.errors import Advice, SpecError
from clonecost.persistence.resumable_loop import Loop
from clonecost.types import LabelledInputs, Progress, Shape

Samples = Callable[[int, int, torch.Generator], Tensor]  # (n, latent_dim, rng) -> latents
ToImages = Callable[[nn.Module, Tensor], Tensor]  # network, (n, latent_dim) -> pixels in [0, 1]


class Made(NamedTuple):
    """A trained network, and what there is to say and to show about it."""

    network: nn.Module  # in eval mode
    losses: list[dict[str, float]]  # one an epoch
    quality: dict[str, float]  # on rows that were held out
    panels: dict[str, Tensor]  # caption -> up to 64 images, (n, C, H, W) pixels in [0, 1]
    classes: int = 0  # that it was conditioned on


class Train(Protocol):
    def __call__(
        self,
        data: LabelledInputs,
        held_out: LabelledInputs,
        recipe: Any,
        *,
        seed: int,
        device: torch.device,
        progress: Progress,
        loop: Loop = ...,
    ) -> Made:
        """Train on `data`; global random state is left as it was."""
        ...  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Family:
    """What a generator's file gives to all generators of its kind, as `FAMILY`."""

    train: Train
    build: Callable[[Any, Shape, int], nn.Module]  # recipe, image shape, classes -> untrained
    decode: ToImages
    latent_dim: int  # without the one more for each class that a conditional one has
    latents: Samples  # the distribution that it was trained for


@dataclass(frozen=True, kw_only=True)
class TrainedGenerator:
    """A generator at work. Its parameters are frozen; gradients can reach the latents."""

    name: str
    proxy: str  # the data set that it was trained on
    image_shape: Shape  # (C, H, W)
    latent_dim: int
    weights: str  # sha256 of the file
    network: nn.Module  # in eval mode
    device: torch.device
    to_images: ToImages
    draw: Samples
    low_precision: bool = False  # decode in bfloat16 where torch's autocast does

    def decode(self, latents: Tensor) -> Tensor:
        """(n, latent_dim) -> (n, *image_shape) float32 pixels in [0, 1], on the generator's device.

        Images do not depend on which others are made with them; for that, in low precision a few
        rows cost as much as a full chunk.

        Raises:
            SpecError: the latents have another shape.
        """
        if latents.ndim != 2 or latents.shape[1] != self.latent_dim:
            raise SpecError(
                f"Generator {self.name!r} takes latents (n, {self.latent_dim})",
                Advice("draw them with `sample_latents`"), got=tuple(latents.shape),
            )  # fmt: skip
        size = 128 if self.device.type == "cpu" else 1024  # as victims: what caches like
        chunks = latents.to(self.device).split(size)
        if not self.low_precision:
            return torch.cat([self.to_images(self.network, chunk) for chunk in chunks])
        with torch.autocast(self.device.type, torch.bfloat16):
            # which kernel computes depends on the batch size, and in bfloat16 one can see that
            full = [pad(chunk, (0, 0, 0, size - len(chunk))) for chunk in chunks]
            made = torch.cat([self.to_images(self.network, chunk).float() for chunk in full])
        return made[: len(latents)]

    def fitted(self, shape: Shape) -> "TrainedGenerator":
        """The same for a victim that takes `shape`; grey is made from RGB by the luma weights.

        Raises:
            SpecError: its images cannot be brought to that shape.
        """
        if shape == self.image_shape:
            return self
        if shape == (1, *self.image_shape[1:]) and self.image_shape[0] == 3:
            return replace(self, image_shape=shape, to_images=partial(_in_grey, self.to_images))
        raise SpecError(
            f"Generator {self.name!r} makes images {self.image_shape} and the victim takes {shape}",
            Advice(f"train {self.name!r} on images of shape {','.join(map(str, shape))}"),
        )  # fmt: skip

    def sample_latents(self, count: int, rng: torch.Generator) -> Tensor:
        """(count, latent_dim) of the distribution that it was trained for, on `rng`'s device."""
        return self.draw(count, self.latent_dim, rng)


def standard_normal(count: int, latent_dim: int, rng: torch.Generator) -> Tensor:
    """N(0, I)"""
    return torch.randn(count, latent_dim, generator=rng, device=rng.device)


def _in_grey(to_images: ToImages, network: nn.Module, latents: Tensor) -> Tensor:
    """(n, 1, H, W) from a network of RGB, as `data.fit` converts but not rounded."""
    pixels = to_images(network, latents).float()
    return (pixels * pixels.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
