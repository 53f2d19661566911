"""What a generator's file gives to the table, and what the table gives to attacks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from clonecost.errors import SpecError
from clonecost.types import LabelledInputs, Progress, Shape

Samples = Callable[[int, int, torch.Generator], Tensor]  # (n, latent_dim, rng) -> latents


class Recipe(Protocol):
    """A frozen dataclass: everything that determines the weights, but for data and seed."""

    @property
    def epochs(self) -> int: ...


class Made(NamedTuple):
    """A trained network, and what there is to say and to show about it."""

    network: nn.Module  # in eval mode
    losses: list[dict[str, float]]  # one an epoch
    quality: dict[str, float]  # on rows that were held out
    panels: dict[str, Tensor]  # caption -> up to 64 images, (n, C, H, W) pixels in [0, 1]


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
    ) -> Made:
        """Train on `data`; global random state is left as it was."""
        ...  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class GeneratorCard:
    """A row of the table."""

    summary: str  # one line for `clonecost list`
    recipe: Recipe  # as published
    train: Train
    build: Callable[[Shape], nn.Module]  # the network of `Made`, untrained
    decode: Callable[[nn.Module, Tensor], Tensor]  # network, (n, latent_dim) -> pixels in [0, 1]
    latent_dim: int
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
    to_images: Callable[[nn.Module, Tensor], Tensor]
    draw: Samples

    def decode(self, latents: Tensor) -> Tensor:
        """(n, latent_dim) -> (n, *image_shape) pixels in [0, 1], on the generator's device.

        Images do not depend on which others are made with them.

        Raises:
            SpecError: the latents have another shape.
        """
        if latents.ndim != 2 or latents.shape[1] != self.latent_dim:
            raise SpecError(
                f"generator {self.name!r} takes latents (n, {self.latent_dim}), got "
                f"{tuple(latents.shape)}"
            )
        size = 128 if self.device.type == "cpu" else 1024  # as victims: what caches like
        chunks = latents.to(self.device).split(size)
        return torch.cat([self.to_images(self.network, chunk) for chunk in chunks])

    def sample_latents(self, count: int, rng: torch.Generator) -> Tensor:
        """(count, latent_dim) of the distribution that it was trained for, on `rng`'s device."""
        return self.draw(count, self.latent_dim, rng)


def standard_normal(count: int, latent_dim: int, rng: torch.Generator) -> Tensor:
    """N(0, I)"""
    return torch.randn(count, latent_dim, generator=rng, device=rng.device)
