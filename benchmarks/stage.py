"""The scenes of the benchmarks: real networks, a real oracle and ledger on a real disk."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from clonecost.attacks.base import AttackerKit
from clonecost.audit.query_stats import TrafficLog
from clonecost.networks import build, build_generator
from clonecost.oracle import Oracle
from clonecost.oracle.ledger import Ledger
from clonecost.oracle.oracle import OraclePosition
from clonecost.training.distill import Recipe
from clonecost.types import LabelledInputs, Shape, ThreatModel, Victim
from clonecost.victims import torch_victim

CLASSES = 10


@dataclass(frozen=True)
class Scene:
    """Who is cloned by whom, on which images."""

    name: str
    shape: Shape
    victim: str
    student: str

    def of(self, shape: Shape) -> "Scene":
        """The same networks for images of another shape."""
        return replace(self, shape=shape)


LENET = Scene("LeNet, 1x32x32", (1, 32, 32), "lenet", "half-lenet")
PAPER = Scene("ResNet-34 and ResNet-18, 3x32x32", (3, 32, 32), "resnet34-8x", "resnet18-8x")
CPU = torch.device("cpu")
RESNET = Scene("ResNet-20, 3x32x32", (3, 32, 32), "resnet20", "resnet20")


def make_victim(scene: Scene, device: torch.device = CPU) -> Victim:
    """Untrained: the same arithmetic at the same speed."""
    torch.manual_seed(0)
    return torch_victim(build(scene.victim, scene.shape, CLASSES).to(device))


def make_pool(scene: Scene, rows: int) -> LabelledInputs:
    rng = torch.Generator().manual_seed(1)
    pixels = torch.randint(256, (rows, *scene.shape), generator=rng, dtype=torch.uint8)
    return LabelledInputs(pixels, torch.zeros(rows, dtype=torch.int64), ("?",), "noise")


def make_kit(
    scene: Scene, *, horizon: int, proxy: LabelledInputs | None = None, device: torch.device = CPU
) -> AttackerKit:
    return AttackerKit(
        student=lambda: build(scene.student, scene.shape, CLASSES),
        generator=lambda latent, *, width: build_generator(latent, scene.shape, width=width),
        proxy=proxy,
        rng=torch.Generator(device).manual_seed(0),
        device=device,
        horizon=horizon,
    )


@contextmanager
def open_oracle(
    victim: Victim, shape: Shape, *, budget: int, keep: bool = False, ahead: bool = False
) -> Iterator[Oracle]:
    """The door as an audit builds it, with its ledger in a folder that goes away afterwards.

    Args:
        ahead: charge several batches at once, as an audit does on a GPU.
    """
    threat = ThreatModel(input_shape=shape, num_classes=CLASSES, query_budget=budget)
    with TemporaryDirectory(prefix="clonecost-bench-") as folder:
        path = Path(folder) / "ledger.sqlite"
        ledger = Ledger(path, audit="bench", input_shape=shape, num_classes=CLASSES)
        try:
            oracle = Oracle(
                victim, threat, ledger, keep=keep, observe=TrafficLog(budget, CLASSES), ahead=ahead
            )
            yield oracle
            OraclePosition(oracle).settle()
        finally:
            ledger.close()


def descend(network: nn.Module, inputs: Tensor, upstream: Tensor) -> None:
    """One forward and one backward pass from a gradient that is simply given."""
    network.zero_grad(set_to_none=True)
    network(inputs).backward(upstream)


def make_optimizer(student: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """As `distill` makes it, but with a rate that leaves the student where it is.

    From a gradient that means nothing a student would soon die, and dead units are faster.
    """
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            student.parameters(), lr=1e-12, momentum=recipe.momentum,
            weight_decay=recipe.weight_decay, fused=True,
        )  # fmt: skip
    return torch.optim.AdamW(
        student.parameters(), lr=1e-12, weight_decay=recipe.weight_decay, fused=True
    )
