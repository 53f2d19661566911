"""Shared by the trainings of all GANs: averages, batches, steps. Each loop is in its own file."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, update_bn

REPORT_EVERY = 20  # steps between two calls of the progress function
SHOWN = 64  # images in a panel
STATISTICS = 40  # batches of latents for the final batch norm statistics


def prepare(network: nn.Module, device: torch.device) -> None:
    """Move to the device, in train mode and channels-last, which is faster for small images."""
    network.to(device).train()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def moving_average(generator: nn.Module, decay: float) -> AveragedModel:
    """The moving average of a generator's weights; `update_parameters(generator)` updates it.

    Over the first steps the decay is smaller: otherwise a training of a thousand steps would keep a
    third of its initial weights.
    """

    @torch.no_grad()
    def move(average: Sequence[Tensor], weights: Sequence[Tensor], steps: Tensor | int) -> None:
        share = 1 - torch.as_tensor((1 + steps) / (10 + steps)).clamp_max(decay)  # on its device
        for mean, weight in zip(average, weights, strict=True):
            mean.lerp_(weight, share)

    return AveragedModel(generator, multi_avg_fn=move)


def finalise(average: AveragedModel, latents: Iterable[Tensor], device: torch.device) -> nn.Module:
    """The averaged generator in eval mode, with batch norm statistics computed from `latents`.

    The statistics of training come from weights that changed meanwhile.
    """
    update_bn(latents, average, device)
    network: nn.Module = average.module.eval().requires_grad_(False)
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return network


def steps_of(rows: int, batch_size: int) -> int:
    """Steps per epoch: full batches only, but at least one."""
    return rows // batch_size or 1


def batches(rows: int, batch_size: int, rng: torch.Generator) -> Iterator[Tensor]:
    """The row indices of each step of an epoch, in a new order."""
    order = torch.randperm(rows, generator=rng, device=rng.device)
    yield from order.split(batch_size)[: steps_of(rows, batch_size)]


def channels_last(images: Tensor) -> Tensor:
    """(n, C, H, W) in the channels-last layout."""
    return images.contiguous(memory_format=torch.channels_last)


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Compute no gradients of the network's parameters; gradients pass through to its inputs."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)


def descend(loss: Tensor, optimiser: Optimizer) -> None:
    """One step of the optimiser."""
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
