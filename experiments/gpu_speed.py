"""How fast a device runs through a ResNet-18-8x: the speed by which jobs are estimated."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from clonecost.networks import build
from clonecost.query_synthesis.zeroth_order import full_float32
from experiments.counted_operations import BACKWARD, forward

BATCH = 256


@dataclass(frozen=True)
class Speeds:
    """Floating-point operations a second in passes through a network."""

    exact: float  # forward, in true float32
    training: float  # forward and backward, as students train

    def __str__(self) -> str:
        return f"{self.exact / 1e12:.2f} TFLOP/s in float32, {self.training / 1e12:.2f} in training"


def measured(device: torch.device, *, seconds: float, tiny: bool = False) -> Speeds:
    """Time both kinds of passes for about so many seconds each."""
    name, shape, batch = "resnet18-8x", (3, 32, 32), BATCH
    if tiny:
        name, shape, batch = "lenet", (1, 32, 32), 8
    operations = batch * forward(name, shape)
    with torch.random.fork_rng(devices=[]):
        network = build(name, shape, 10).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    inputs = torch.rand(batch, *shape).to(device)
    inputs = inputs.contiguous(memory_format=torch.channels_last)

    def ahead() -> None:
        with torch.no_grad(), full_float32():
            network(inputs)

    def learn() -> None:
        network.zero_grad()
        network(inputs).logsumexp(1).mean().backward()

    return Speeds(
        operations / _seconds(ahead, device, seconds),
        (1 + BACKWARD) * operations / _seconds(learn, device, seconds),
    )


def _seconds(step: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Of one step, by as many as fit; the first ones warm up."""
    for _ in range(1 if device.type == "cpu" else 3):
        step()
    _wait(device)
    began, steps = time.perf_counter(), 0
    while (taken := time.perf_counter() - began) < seconds or not steps:
        step()
        steps += 1
        _wait(device)
    return taken / steps


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
