"""Victims on which our own attacks are tuned: no table shows them, and no test row takes part.

- `mnist`: a LeNet trained on the first half of MNIST's training rows.
- `fashion`: the same for Fashion-MNIST. It shares the data set with `fmnist-lenet`, on which tables
  report, and neither the weights nor a test row.
- `groups`: a ResNet-8 trained on CIFAR-100's training rows of ten superclasses, from aquatic
  mammals to vehicles.

Agreement is measured on training rows of which the victim saw none.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq
import torch
from torch import Tensor, nn

from clonecost.data import load
from clonecost.networks import build
from clonecost.persistence.model_cache import cache_root
from clonecost.types import LabelledInputs, Shape, ThreatModel, as_pixels
from clonecost.victims.zoo.catalogue import Training
from clonecost.victims.zoo.train_classifier import count_correct, train_classifier

CLASSES, HELD = 10, 3_000
GROUPS = (0, 2, 4, 6, 7, 8, 10, 14, 17, 18)  # coarse labels of CIFAR-100
SHAPES: dict[str, Shape] = {"mnist": (1, 32, 32), "fashion": (1, 32, 32), "groups": (3, 32, 32)}
NETWORKS = {"mnist": "lenet", "fashion": "lenet", "groups": "resnet8"}
STUDENTS = {"mnist": "half-lenet", "fashion": "half-lenet", "groups": "lenet"}
DATA = {"mnist": "mnist", "fashion": "fmnist"}  # of which half of the training rows train
TRAININGS = {
    "mnist": Training(lr=0.05, weight_decay=5e-4, batch_size=128, epochs=6, schedule="cosine"),
    "fashion": Training(lr=0.05, weight_decay=5e-4, batch_size=128, epochs=10, schedule="cosine"),
    "groups": Training(
        lr=0.2, weight_decay=5e-4, batch_size=128, epochs=25, augment="crop+flip",
        schedule="one-cycle",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class TuningVictim:
    """A trained network, and rows of the victim's domain on which clones are scored."""

    name: str
    network: nn.Module
    rows: Tensor  # (HELD, C, H, W) uint8
    answers: Tensor  # (HELD, K), the victim's

    def answer(self, pixels: Tensor) -> Tensor:
        """(n, C, H, W) pixels in [0, 1] -> (n, K) probabilities."""
        with torch.no_grad():
            return torch.cat([self.network(part).softmax(1) for part in pixels.split(512)])

    @torch.no_grad()
    def agreement(self, clone: nn.Module) -> float:
        """Share of the held-out rows on which a clone's top class is the victim's."""
        clone.eval()
        guess = torch.cat([clone(as_pixels(part)).argmax(1) for part in self.rows.split(512)])
        return float((guess == self.answers.argmax(1)).float().mean())


@dataclass
class FreeOracle:
    """Counts and answers without a ledger: for experiments that compare ways of asking."""

    victim: TuningVictim
    threat: ThreatModel
    spent: int = 0
    log: list[str] = field(default_factory=list)

    @property
    def remaining(self) -> int:
        return self.threat.query_budget - self.spent

    def __call__(self, pixels: Tensor) -> Tensor:
        self.spent += len(pixels)
        answers = self.victim.answer(pixels)
        if self.threat.answers == "label":
            return nn.functional.one_hot(answers.argmax(1), answers.shape[1]).float()
        return answers


def tuning_victim(name: str) -> TuningVictim:
    """The victim of this name, trained once and kept in the cache."""
    data, order = _data(name)
    held, training = order[:HELD], order[HELD:]
    if name in DATA:
        training = training[: len(training) // 2]
    network = build(NETWORKS[name], SHAPES[name], CLASSES)
    file = cache_root() / f"tuning-{name}.pt"
    if not file.is_file():
        count = len(training) // 10
        network = _initialised(lambda: build(NETWORKS[name], SHAPES[name], CLASSES))
        train_classifier(
            network, _part(data, training[count:]), _part(data, training[:count]),
            TRAININGS[name], rng=torch.Generator().manual_seed(0),
        )  # fmt: skip
        right = count_correct(network, _part(data, held), "cpu") / HELD
        print(f"{name}: accuracy on held-out training rows {right:.3f}", flush=True)
        torch.save(network.state_dict(), file)
    network.load_state_dict(torch.load(file))
    network.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    rows = data.inputs[held]
    bare = TuningVictim(name, network, rows, torch.empty(0))
    return TuningVictim(name, network, rows, bare.answer(as_pixels(rows)))


def _data(name: str) -> tuple[LabelledInputs, Tensor]:
    """All rows, and an order of those that are used."""
    mixed = torch.Generator().manual_seed(20_260)
    if name in DATA:
        data = load(DATA[name], "train", shape=SHAPES[name])
        return data, torch.randperm(len(data), generator=mixed)
    data = load("cifar100", "train", shape=SHAPES[name])
    file = find_coarse()
    place = torch.full((20,), -1)
    place[torch.tensor(GROUPS)] = torch.arange(CLASSES)
    labels = place[torch.tensor(pq.read_table(file, columns=["coarse_label"])[0].to_pylist())]
    kept = (labels >= 0).nonzero().flatten()
    order = kept[torch.randperm(len(kept), generator=mixed)]
    return LabelledInputs(data.inputs, labels), order


def find_coarse() -> Path:
    """The file of CIFAR-100's training rows, which has the superclasses beside the classes."""
    return Path(os.environ["CLONECOST_DATA"]) / "cifar100" / "train-00000-of-00001.parquet"


def _part(data: LabelledInputs, rows: Tensor) -> LabelledInputs:
    return LabelledInputs(data.inputs[rows], data.labels[rows])


def _initialised(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make()
