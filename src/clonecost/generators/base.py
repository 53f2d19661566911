"""`Family`: the interface of a kind of generator; `TrainedGenerator`: what an attack uses."""

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


class TrainingResult(NamedTuple):
    """A trained network with its losses, quality figures and sample images."""

    network: nn.Module  # in eval mode
    losses: list[dict[str, float]]  # one per epoch
    quality: dict[str, float]  # on held-out rows
    panels: dict[str, Tensor]  # caption -> up to 64 images, (n, C, H, W) pixels in [0, 1]
    classes: int = 0  # number of classes that it is conditioned on


class Train(Protocol):
    """The training function of a family."""

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
    ) -> TrainingResult:
        """Train on `data` without changing the global random state."""
        ...  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Family:
    """How one kind of generator is trained, built and decoded: `FAMILY` of its file."""

    train: Train
    build: Callable[[Any, Shape, int], nn.Module]  # recipe, image shape, classes -> untrained
    decode: ToImages
    latent_dim: int  # a conditional generator has one more for each class
    latents: Samples  # the latents' distribution in training


@dataclass(frozen=True, kw_only=True)
class TrainedGenerator:
    """A trained generator. Its parameters are frozen; gradients can reach the latents.

    Example:
        generator = ready_generator("vae-small", load("photos"))
        latents = generator.sample_latents(16, torch.Generator().manual_seed(0))
        images = generator.decode(latents)  # (16, *generator.image_shape)
    """

    name: str
    proxy: str  # name of its training data
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

        An image does not depend on the other latents of the call. Therefore, in low precision a
        few rows take as long as a full chunk.

        Raises:
            SpecError: the latents have another shape.
        """
        if latents.ndim != 2 or latents.shape[1] != self.latent_dim:
            raise SpecError(
                f"Generator {self.name!r} takes latents (n, {self.latent_dim})",
                Advice("draw them with `sample_latents`"), got=tuple(latents.shape),
            )  # fmt: skip
        size = 128 if self.device.type == "cpu" else 1024  # fits the processor's caches
        chunks = latents.to(self.device).split(size)
        if not self.low_precision:
            return torch.cat([self.to_images(self.network, chunk) for chunk in chunks])
        with torch.autocast(self.device.type, torch.bfloat16):
            # the kernel depends on the batch size, which bfloat16 makes visible
            full = [pad(chunk, (0, 0, 0, size - len(chunk))) for chunk in chunks]
            images = torch.cat([self.to_images(self.network, chunk).float() for chunk in full])
        return images[: len(latents)]

    def fitted(self, shape: Shape) -> "TrainedGenerator":
        """The generator for a victim that takes `shape`; RGB becomes grey by the luma weights.

        Raises:
            SpecError: the images differ in more than RGB against grey.
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
        """(count, latent_dim) latents of the distribution in training, on `rng`'s device."""
        return self.draw(count, self.latent_dim, rng)


def standard_normal(count: int, latent_dim: int, rng: torch.Generator) -> Tensor:
    """(count, latent_dim) latents ~ N(0, I), on the device of `rng`."""
    return torch.randn(count, latent_dim, generator=rng, device=rng.device)


def _in_grey(to_images: ToImages, network: nn.Module, latents: Tensor) -> Tensor:
    """(n, 1, H, W) from an RGB network, by the conversion of `data.fit` without rounding."""
    pixels = to_images(network, latents).float()
    return (pixels * pixels.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
