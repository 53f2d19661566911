"""Training of the zoo's image classifiers on true labels."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from clonecost.training.augmentation import augment
from clonecost.training.mixed_precision import autocast_bfloat16
from clonecost.training.optimisers import SGD
from clonecost.types import LabelledInputs, Progress, as_pixels, no_progress
from clonecost.victims.zoo.catalogue import Training

MOMENTUM = 0.9
REPORT_EVERY = 20  # steps between two calls of the progress function


class Trained(NamedTuple):
    """The epoch that was kept."""

    validation_accuracy: float
    epoch: int  # counted from 1


def train_classifier(
    model: nn.Module,
    data: LabelledInputs,
    validation: LabelledInputs,
    training: Training,
    *,
    rng: torch.Generator,
    device: torch.device | str = "cpu",
    progress: Progress = no_progress,
) -> Trained:
    """Train `model` in place on `device` and keep its best epoch on `validation`.

    The last, incomplete batch of an epoch is left out: BatchNorm cannot take a single row.

    Args:
        model: (n, *shape) pixels in [0, 1] -> (n, K) logits.
        rng: a generator on the CPU for order and augmentation; dropout draws from torch's global
            state.

    Returns:
        The best epoch; `model` is in eval mode, with that epoch's weights.
    """
    with threads_limited(training.threads):
        return _train(model, data, validation, training, rng, torch.device(device), progress)


def _train(
    model: nn.Module,
    data: LabelledInputs,
    validation: LabelledInputs,
    training: Training,
    rng: torch.Generator,
    device: torch.device,
    progress: Progress,
) -> Trained:
    layout = torch.channels_last if training.low_precision else torch.contiguous_format
    _lay_out(model.to(device), layout)
    inputs, labels = data.inputs.to(device), data.labels.to(device)
    batch_size = min(training.batch_size, len(data))
    steps = len(data) // batch_size
    total = steps * training.epochs
    optimiser = SGD(
        model.parameters(), training.lr, MOMENTUM, weight_decay=training.weight_decay, nesterov=True
    )
    schedule = _SCHEDULES[training.schedule]
    best, state = Trained(-1.0, 0), model.state_dict()
    for epoch in range(training.epochs):
        model.train()
        order = torch.randperm(len(data), generator=rng)[: steps * batch_size].to(device)
        for step, rows in enumerate(order.split(batch_size), start=epoch * steps):
            optimiser.param_groups[0]["lr"] = training.lr * schedule(step / total)
            x = as_pixels(augment(inputs[rows], training.augment, rng))
            with autocast_bfloat16(device, training.low_precision):
                logits = model(x.contiguous(memory_format=layout))
            optimiser.zero_grad()
            F.cross_entropy(logits.float(), labels[rows]).backward()
            optimiser.step()
            if (step + 1) % REPORT_EVERY == 0 or step + 1 == total:
                progress("training steps", step + 1, total)
        accuracy = count_correct(model, validation, device) / len(validation)
        if accuracy >= best.validation_accuracy:  # on a tie the later epoch: its rate was lower
            best = Trained(accuracy, epoch + 1)
            state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    model.load_state_dict(state)
    _lay_out(model, torch.contiguous_format)  # the only layout that safetensors writes
    model.eval()
    return best


@contextmanager
def threads_limited(count: int | None) -> Iterator[None]:
    """Limit torch to `count` CPU threads inside the block; None changes nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def count_correct(model: nn.Module, data: LabelledInputs, device: torch.device | str) -> int:
    """The number of rows that the model, in eval mode and float32, classifies correctly."""
    model.eval()
    size = 128 if torch.device(device).type == "cpu" else 1024  # as torch_victim
    hits = torch.zeros((), dtype=torch.int64, device=device)
    with torch.no_grad():
        for rows in torch.arange(len(data)).split(size):
            predicted = model(data.rows(rows, device)).argmax(1)
            hits += (predicted == data.labels[rows].to(device)).sum()
    return int(hits)


def _lay_out(model: nn.Module, layout: torch.memory_format) -> None:
    model.to(memory_format=layout)  # type: ignore[call-overload]  # torch's stubs lack it


def _cosine(progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * progress))


def _one_cycle(progress: float, peak: float = 0.25) -> float:
    return max(progress / peak, 0.01) if progress < peak else (1 - progress) / (1 - peak)


# completed share of the training -> share of the highest learning rate
_SCHEDULES: dict[str, Callable[[float], float]] = {"cosine": _cosine, "one-cycle": _one_cycle}
