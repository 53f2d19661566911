"""An image victim's toy world: shapes, a student and a generator that train in seconds on a CPU."""

import math
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from clonecost.attacks import Attack
from clonecost.audit import Audit
from clonecost.generators import TrainedGenerator
from clonecost.generators.base import standard_normal
from clonecost.types import Victim

SHAPE, CLASSES, BUDGET = (1, 8, 8), 3, 1_500


class MakeAudit(Protocol):
    """The fixture `make_audit`."""

    def __call__(self, attack: str | Attack = "knockoff", **changes: Any) -> Audit: ...


def uniform(classes: int) -> Victim:
    """A victim that gives every class of every row the same probability."""

    def answer(inputs: Tensor, /) -> Tensor:
        return torch.full((len(inputs), classes), 1 / classes)

    return answer


def toy_student() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, CLASSES)
    )


def toy_generator(shape: tuple[int, ...] = SHAPE) -> TrainedGenerator:
    """Reaches every image: a pixel is the sigmoid of a latent of its own."""
    return TrainedGenerator(
        name="toy", proxy="noise", image_shape=shape, latent_dim=math.prod(shape), weights="toy",
        network=nn.Unflatten(1, shape).eval(), device=torch.device("cpu"),
        to_images=lambda network, latents: network(latents).sigmoid(), draw=standard_normal,
    )  # fmt: skip
