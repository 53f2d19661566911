"""What the trainings of all GANs share. The loop of each stands in its own file."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, update_bn

REPORT_EVERY = 20  # steps between two calls of the progress function
SHOWN = 64  # images in a panel
STATISTICS = 40  # batches of latents that a generator's batch norm is measured with at the end


def ready(network: nn.Module, device: torch.device) -> None:
    """On the device, in train mode; convolutions of small images run faster channels-last."""
    network.to(device).train()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def averaged(generator: nn.Module, decay: float) -> AveragedModel:
    """The moving average of a generator's weights: `update_parameters(generator)` moves it.

    Over the first steps it is shorter, or a training of a thousand steps would keep a third of the
    weights that it began with.
    """

    @torch.no_grad()
    def move(average: Sequence[Tensor], weights: Sequence[Tensor], steps: Tensor | int) -> None:
        share = 1 - torch.as_tensor((1 + steps) / (10 + steps)).clamp_max(decay)  # on its device
        for held, weight in zip(average, weights, strict=True):
            held.lerp_(weight, share)

    return AveragedModel(generator, multi_avg_fn=move)


def kept(average: AveragedModel, latents: Iterable[Tensor], device: torch.device) -> nn.Module:
    """The averaged generator as it is kept; `latents` are what its batch norm is measured with.

    The statistics of training belong to weights that changed while they were taken.
    """
    update_bn(latents, average, device)
    network: nn.Module = average.module.eval().requires_grad_(False)
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return network


def steps_of(rows: int, batch_size: int) -> int:
    """Steps an epoch: full batches only, but at least one."""
    return rows // batch_size or 1


def batches(rows: int, batch_size: int, rng: torch.Generator) -> Iterator[Tensor]:
    """The row numbers of each step of an epoch, in a new order."""
    order = torch.randperm(rows, generator=rng, device=rng.device)
    yield from order.split(batch_size)[: steps_of(rows, batch_size)]


def channels_last(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Gradients pass through it to what is before it, and none of its own are computed."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)


def descend(loss: Tensor, optimiser: Optimizer) -> None:
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
