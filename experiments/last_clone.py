"""Ways of training the last clone from the same bought rows, on victims that no table shows.

    python -m experiments.last_clone mnist --budget 3000 --seeds 0 1 2 --ways kl mean-of-three
        [--out FILE]

Ex Nihilo buys rows of a tuning victim once a seed; each way trains from them without a further
query. One line of JSON a clone, on the screen and at the end of FILE: agreement on held-out
training rows, processor seconds of the training.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from clonecost.attacks.base import AttackerKit
from clonecost.attacks.ex_nihilo import ExNihilo
from clonecost.networks import build
from clonecost.networks.soft_vote import SoftVote
from clonecost.oracle import Oracle
from clonecost.training.augmentation import Augment, augment
from clonecost.training.losses import floor_of, kl, recover_logits, tempered
from clonecost.training.optimisers import AdamW
from clonecost.training.weight_averaging import WeightAverages
from clonecost.types import ThreatModel, as_bytes, as_pixels
from experiments.tuning_victims import (
    CLASSES,
    SHAPES,
    STUDENTS,
    FreeOracle,
    TuningVictim,
    tuning_victim,
)

EPOCHS = 40
LOGITS = 0.025  # weight of the centred-logit MSE beside half of the KL


@dataclass
class Keeping(FreeOracle):
    """It keeps the rows and the answers, too."""

    rows: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def __call__(self, pixels: Tensor) -> Tensor:
        answers = super().__call__(pixels)
        self.rows.append((as_bytes(pixels), answers))
        return answers


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way of training."""

    temperature: float | None = None  # of E3's loss
    logits: bool = False  # half KL and LOGITS of the squared distance of centred logits
    batch_size: int = 128
    lr: float = 2e-3
    decay: float = 0.0  # of an average of the weights
    augment: Augment = "none"
    members: int = 1  # students whose mean answer counts


WAYS = {
    "kl": Way(),
    "t4": Way(temperature=4.0),
    "t20": Way(temperature=20.0),
    "logits": Way(logits=True),
    "b256": Way(batch_size=256, lr=4e-3),
    "logits-b256": Way(logits=True, batch_size=256, lr=4e-3),
    "ema": Way(decay=0.99),
    "crop": Way(augment="crop"),
    "mean-of-three": Way(members=3),
}


def bought(name: str, victim: TuningVictim, budget: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images (n, C, H, W) uint8 and answers (n, K) that Ex Nihilo buys."""
    shape = SHAPES[name]
    oracle = Keeping(
        victim, ThreatModel(input_shape=shape, num_classes=CLASSES, query_budget=budget)
    )
    kit = AttackerKit(
        student=lambda: build(STUDENTS[name], shape, CLASSES), generator=None,  # type: ignore[arg-type]
        rng=torch.Generator().manual_seed(seed), device=torch.device("cpu"), horizon=budget,
    )  # fmt: skip
    for _ in ExNihilo().run(cast(Oracle, oracle), kit):
        pass
    images, answers = zip(*oracle.rows, strict=True)
    return torch.cat(images), torch.cat(answers)


def loss_of(way: Way, answers: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """(logits, answers) of a batch -> the mean loss."""
    floor = floor_of(answers)

    def loss(logits: Tensor, wanted: Tensor) -> Tensor:
        if way.temperature:
            return tempered(logits, wanted, way.temperature, floor).mean()
        if not way.logits:
            return kl(logits, wanted).mean()
        centred = logits - logits.mean(1, keepdim=True)
        far = (centred - recover_logits(wanted, smallest=floor)).square().mean()
        return kl(logits, wanted).mean() / 2 + LOGITS * far

    return loss


def trained(
    way: Way, student: nn.Module, images: Tensor, answers: Tensor, rng: torch.Generator
) -> nn.Module:
    """The student, or the average of its weights, after all epochs."""
    optimizer = AdamW(student.parameters(), lr=way.lr, weight_decay=0.01, fused=True)
    steps = EPOCHS * -(-len(images) // way.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    loss = loss_of(way, answers)
    average = WeightAverages(student, [way.decay] if way.decay else [])
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(images), generator=rng).split(way.batch_size):
            x = as_pixels(augment(images[rows], way.augment, rng))
            value = loss(student(x), answers[rows])
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            schedule.step()
            average.update()
    return average.networks()[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("victim", choices=SHAPES)
    parser.add_argument("--budget", type=int, default=3_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--ways", choices=WAYS, nargs="+", default=list(WAYS))
    parser.add_argument("--out", type=Path)
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    name, victim = wanted.victim, tuning_victim(wanted.victim)
    for seed in wanted.seeds:
        images, answers = bought(name, victim, wanted.budget, seed)
        for label in wanted.ways:
            began, way = time.process_time(), WAYS[label]
            students = []
            for member in range(way.members):
                torch.manual_seed(100 * seed + member)
                student = build(STUDENTS[name], SHAPES[name], CLASSES).train()
                student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
                rng = torch.Generator().manual_seed(100 * seed + member)
                students.append(trained(way, student, images, answers, rng))
            row = {
                "part": "recipe", "victim": name, "budget": wanted.budget, "seed": seed,
                "label": label, "agreement": round(victim.agreement(SoftVote(students)), 4),
                "clone_s": round(time.process_time() - began, 1),
            }  # fmt: skip
            print(json.dumps(row), flush=True)
            if wanted.out:
                with wanted.out.open("a") as file:
                    file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
