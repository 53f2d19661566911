"""What an attacker's public backbone is worth: Knockoff with three students on one victim.

    python -m experiments.pretrained_student [--budgets 500,1500] [--seeds 0,1,2] [--out FILE]

Victim: EfficientNet-Lite0 of ImageNet (extra `backbones`), fine-tuned by its owner on CIFAR-10's
training rows; each picture is shown to it at SIDE pixels. Attacker: CIFAR-100 pictures, the
probabilities of the victim, and a student: resnet8 from scratch, the public backbone with a new
head (linear probing), or the same fine-tuned. Agreement on test rows that nobody trained on.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clonecost.data import load
from clonecost.evaluation.seed_interval import t_interval
from clonecost.networks.pretrained import Pretrained
from clonecost.students import load_student
from clonecost.training.distill import Recipe
from clonecost.training.fine_tune import FineTune, fine_tune
from clonecost.training.losses import TEMPERATURES
from clonecost.training.recipes import train

SIDE = 48  # pixels that the encoder sees; two shared cores do not allow 224
SHAPE, CLASSES = (3, 32, 32), 10
OWNER, TEST = 1_500, 600  # rows: of the owner's training, of the test
BACKBONE = f"backbone:efficientnet-lite0,size={SIDE}"
STUDENTS: dict[str, tuple[str, Recipe | FineTune]] = {
    "resnet8 from scratch": ("resnet8", Recipe()),
    "resnet8 from scratch, T swept": ("resnet8", Recipe(temperature="sweep")),
    "backbone, linear probe": (BACKBONE, FineTune(epochs=0, low_epochs=0)),
    "backbone, fine-tuned": (BACKBONE, FineTune()),
}


@dataclass(frozen=True)
class Run:
    student: str
    budget: int
    seed: int
    agreement: float
    seconds: int


@torch.no_grad()
def answers_of(network: nn.Module, inputs: Tensor) -> Tensor:
    network.eval()
    return torch.cat([network(x.float() / 255).softmax(1) for x in inputs.split(64)])


def owner_model(cache: Path) -> nn.Module:
    """The victim: fine-tuned with its owner's labels."""
    train_set = load("cifar10", "train", shape=SHAPE)
    rng = torch.Generator().manual_seed(1)
    rows = torch.randperm(len(train_set), generator=rng)[:OWNER]
    torch.manual_seed(0)
    network = load_student(BACKBONE, SHAPE, CLASSES).make()
    assert isinstance(network, Pretrained)
    if cache.is_file():
        network.load_state_dict(torch.load(cache, weights_only=True))
        return network.eval()
    smooth = F.one_hot(train_set.labels[rows], CLASSES).float() * 0.9 + 0.01
    fine_tune(network, train_set.inputs[rows], smooth, FineTune(epochs=3, low_epochs=2), rng=rng)
    torch.save(network.state_dict(), cache)
    return network.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budgets", default="500,1500")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--out", type=Path, default=Path("pretrained_student.json"))
    parser.add_argument("--cache", type=Path, default=Path("pretrained_student.victim.pt"))
    parser.add_argument("--only", default="", help="part of the names of the students")
    given = parser.parse_args()
    budgets, seeds = (
        [int(one) for one in text.split(",")] for text in (given.budgets, given.seeds)
    )
    began = time.monotonic()
    victim = owner_model(given.cache)
    test = load("cifar10", "test", shape=SHAPE)
    kept = torch.randperm(len(test), generator=torch.Generator().manual_seed(2))[:TEST]
    test_answers = answers_of(victim, test.inputs[kept])
    truth = test_answers.argmax(1)
    accuracy = float((truth == test.labels[kept]).double().mean())
    baseline = float(truth.bincount(minlength=CLASSES).max()) / TEST
    took = time.monotonic() - began
    print(f"victim: accuracy {accuracy:.3f}, majority {baseline:.3f}, {took:.0f} s", flush=True)
    pool = load("cifar100", "train", shape=SHAPE)
    bought = torch.randperm(len(pool), generator=torch.Generator().manual_seed(3))[: max(budgets)]
    paid = answers_of(victim, pool.inputs[bought])
    found: list[Run] = []
    for budget in budgets:
        for name, (student, recipe) in STUDENTS.items():
            if given.only not in name:
                continue
            for seed in seeds:
                rng = torch.Generator().manual_seed(seed)
                rows = torch.randperm(max(budgets), generator=rng)[:budget]
                torch.manual_seed(seed)
                network = load_student(student, SHAPE, CLASSES).make()
                start = time.monotonic()
                train(network, pool.inputs[bought[rows]], paid[rows], recipe, rng=rng)
                seconds = round(time.monotonic() - start)
                clone = answers_of(network, test.inputs[kept])
                agreement = float((clone.argmax(1) == truth).double().mean())
                found.append(Run(name, budget, seed, agreement, seconds))
                print(found[-1], flush=True)
                about = {
                    "accuracy": accuracy, "majority": baseline, "side": SIDE,
                    "owner_rows": OWNER, "test_rows": TEST,
                }  # fmt: skip
                document = {
                    "victim": about, "temperatures": list(TEMPERATURES),
                    "runs": [asdict(run) for run in found], "cells": cells(found),
                }  # fmt: skip
                given.out.write_text(json.dumps(document, indent=1) + "\n")


def cells(runs: list[Run]) -> list[dict[str, object]]:
    """Mean and 95 % interval over seeds of every student and budget."""
    rows: list[dict[str, object]] = []
    for student, budget in dict.fromkeys((run.student, run.budget) for run in runs):
        values = [run.agreement for run in runs if (run.student, run.budget) == (student, budget)]
        low, high = t_interval(values) if len(values) > 2 else (None, None)
        rows.append({"student": student, "budget": budget, "seeds": len(values),
                     "mean": mean(values), "low": low, "high": high})  # fmt: skip
    return rows


if __name__ == "__main__":
    main()
