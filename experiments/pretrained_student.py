"""What an attacker's public backbone is worth: Knockoff with three students on one victim.

    python -m experiments.pretrained_student [--budgets 500,1500] [--seeds 0,1,2] [--out FILE]

Victim: EfficientNet-Lite0 of ImageNet (extra `backbones`), fine-tuned by its owner on CIFAR-10's
training rows; each picture is shown to it at `--side` pixels (48: two shared cores allow little
more). Attacker: CIFAR-100 pictures, the probabilities of the victim, and a student: resnet8 from
scratch, the public backbone with a new head (linear probing), or the same fine-tuned. Agreement on
test rows that nobody trained on. Runs that FILE holds already are left out.
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

SHAPE, CLASSES = (3, 32, 32), 10
BACKBONE = "backbone"  # the student that has the size of the victim
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


def made(student: str, side: int) -> nn.Module:
    name = f"backbone:efficientnet-lite0,size={side}" if student == BACKBONE else student
    return load_student(name, SHAPE, CLASSES).make()


def owner_model(cache: Path, side: int, owner_rows: int, recipe: FineTune) -> nn.Module:
    """The victim: fine-tuned with its owner's labels."""
    train_set = load("cifar10", "train", shape=SHAPE)
    rng = torch.Generator().manual_seed(1)
    rows = torch.randperm(len(train_set), generator=rng)[:owner_rows]
    torch.manual_seed(0)
    network = made(BACKBONE, side)
    assert isinstance(network, Pretrained)
    if cache.is_file():
        network.load_state_dict(torch.load(cache, weights_only=True))
        return network.eval()
    smooth = F.one_hot(train_set.labels[rows], CLASSES).float() * 0.9 + 0.01
    fine_tune(network, train_set.inputs[rows], smooth, recipe, rng=rng)
    torch.save(network.state_dict(), cache)
    return network.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budgets", default="500,1500")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--out", type=Path, default=Path("pretrained_student.json"))
    parser.add_argument("--cache", type=Path, default=Path("pretrained_student.victim.pt"))
    parser.add_argument("--only", default="", help="part of the names of the students")
    parser.add_argument("--side", type=int, default=48, help="pixels that the encoder sees")
    parser.add_argument("--owner-rows", type=int, default=1_500)
    parser.add_argument("--owner-epochs", default="3,2", help="at full and at lower resolution")
    parser.add_argument("--test-rows", type=int, default=600)
    given = parser.parse_args()
    budgets, seeds = (
        [int(one) for one in text.split(",")] for text in (given.budgets, given.seeds)
    )
    began = time.monotonic()
    full, low = (int(one) for one in given.owner_epochs.split(","))
    owner = FineTune(epochs=full, low_epochs=low)
    victim = owner_model(given.cache, given.side, given.owner_rows, owner)
    test = load("cifar10", "test", shape=SHAPE)
    kept = torch.randperm(len(test), generator=torch.Generator().manual_seed(2))[: given.test_rows]
    test_answers = answers_of(victim, test.inputs[kept])
    truth = test_answers.argmax(1)
    accuracy = float((truth == test.labels[kept]).double().mean())
    baseline = float(truth.bincount(minlength=CLASSES).max()) / given.test_rows
    took = time.monotonic() - began
    print(f"victim: accuracy {accuracy:.3f}, majority {baseline:.3f}, {took:.0f} s", flush=True)
    pool = load("cifar100", "train", shape=SHAPE)
    bought = torch.randperm(len(pool), generator=torch.Generator().manual_seed(3))[: max(budgets)]
    paid = answers_of(victim, pool.inputs[bought])
    about = {
        "accuracy": accuracy, "majority": baseline, "side": given.side,
        "owner_rows": given.owner_rows, "test_rows": given.test_rows,
    }  # fmt: skip
    found = held(given.out, about)
    for budget in budgets:
        for name, (student, recipe) in STUDENTS.items():
            if given.only not in name:
                continue
            for seed in seeds:
                if any(
                    (one.student, one.budget, one.seed) == (name, budget, seed) for one in found
                ):
                    continue
                rng = torch.Generator().manual_seed(seed)
                rows = torch.randperm(max(budgets), generator=rng)[:budget]
                torch.manual_seed(seed)
                network = made(student, given.side)
                start = time.monotonic()
                train(network, pool.inputs[bought[rows]], paid[rows], recipe, rng=rng)
                seconds = round(time.monotonic() - start)
                clone = answers_of(network, test.inputs[kept])
                agreement = float((clone.argmax(1) == truth).double().mean())
                found.append(Run(name, budget, seed, agreement, seconds))
                print(found[-1], flush=True)
                document = {
                    "victim": about, "temperatures": list(TEMPERATURES),
                    "runs": [asdict(run) for run in found], "cells": cells(found),
                }  # fmt: skip
                given.out.write_text(json.dumps(document, indent=1) + "\n")


def held(file: Path, about: dict[str, float]) -> list[Run]:
    """The runs of an earlier measurement with the same victim."""
    if not file.is_file():
        return []
    document = json.loads(file.read_text())
    if document["victim"] != about:
        raise SystemExit(f"{file} is of another victim: {document['victim']}, not {about}")
    return [Run(**one) for one in document["runs"]]


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
