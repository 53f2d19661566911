"""Search settings of published attacks for small query budgets, on victims that no table shows.

    python -m experiments.small_budget_search --method dfme --victim mnist [--settings N] [--seed K]

Victims: a LeNet trained on one half of the training rows of digits or MNIST; agreement is measured
on rows of the other half. No test row of a data set takes part, and the zoo's victims are others.
Settings: the published ones, the hints of HINTS, N draws from SPACES, then SECOND. The JSON of a
method and a victim is written after every run; runs that it holds already are left out.
"""

import argparse
import json
import random
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from clonecost.attacks import ATTACKS
from clonecost.audit import Audit, RunOptions, run_audit
from clonecost.data import load, load_proxy
from clonecost.generators import ready_generator
from clonecost.networks import build
from clonecost.types import LabelledInputs, ThreatModel
from clonecost.victims.zoo.catalogue import Training
from clonecost.victims.zoo.train_classifier import train_classifier

SHAPE, CLASSES, STUDENT = (1, 32, 32), 10, "half-lenet"
BUDGET, TEST_ROWS = 20_000, 2_000
EPOCHS = {"digits": 40, "mnist": 4}
OUT = Path("suites/results/search")
SGD = {"student_optimizer": "sgd"}
ADAM = {"student_optimizer": "adam"}
STUDENTS = [SGD | {"student_lr": rate} for rate in (0.03, 0.1)] + [
    ADAM | {"student_lr": rate} for rate in (1e-3, 3e-3)
]
# What stays as it is in every run: the narrow generators of the tables' scale for two cores.
NARROW: dict[str, dict[str, Any]] = {
    "dfme": {"generator_width": 16}, "maze_star": {"generator_width": 16},
    "maze": {"generator_width": 32}, "dual_students": {"generator_width": 16},
    "disguide": {"generator_width": 16}, "knockoff": {},
    "black_box_ripper": {"generator": "sngan-small:3", "low_precision": True},
}  # fmt: skip
Choices = Mapping[str, list[Any]]
SPACES: dict[str, Choices] = {
    "dfme": {
        "batch_size": [16, 32, 64, 128], "student": STUDENTS, "replay_steps": [0, 5, 10, 20],
        "loss": ["l1", "kl"], "generator_lr": [1e-4, 5e-4, 1e-3], "student_steps": [5, 10],
    },
    "maze_star": {
        "batch_size": [16, 32, 64], "student": STUDENTS, "replay_steps": [0, 5, 10, 20],
        "directions": [1, 2, 10], "generator_lr": [1e-4, 1e-3, 1e-2], "student_steps": [5, 10],
    },
    "maze": {
        "batch_size": [16, 32, 64], "student": STUDENTS, "replay_steps": [5, 10, 20],
        "directions": [1, 2, 10], "generator_lr": [1e-4, 1e-3, 1e-2], "clone_steps": [5, 10],
    },
    "dual_students": {
        "batch_size": [16, 32, 64], "student": STUDENTS, "replay_steps": [0, 5, 10],
        "loss": ["l1", "kl"], "generator_lr": [1e-4, 5e-4, 1e-3], "student_steps": [1, 2, 5],
    },
    "disguide": {
        "batch_size": [16, 32, 64], "student": STUDENTS, "replay_steps": [3, 6],
        "loss": ["l1", "kl"], "generator_lr": [1e-4, 5e-4], "diversity": [0.2, 1.0],
    },
    "knockoff": {
        "recipe": ["shared"], "temperature": [None, "sweep", 1.0, 4.0, 20.0], "epochs": [20, 60],
    },
    "black_box_ripper": {
        "reuse": ["evolved", "all"], "loss": ["bce", "kl", "l2"], "evolve": [True, False],
        "max_generations": [2, 3, 10], "epochs": [20, 60],
    },
}  # fmt: skip
RELEASED = {
    "bound": 3.3, "mutation": 0.5, "children": "evenly", "stop": "probability", "loss": "bce",
}  # fmt: skip
HINTS: dict[str, list[dict[str, Any]]] = {
    "dfme": [{"batch_size": 64, "student": STUDENTS[2], "replay_steps": 10, "loss": "kl"}],
    "maze_star": [{"batch_size": 32}],
    "maze": [{"batch_size": 32}],
    "dual_students": [{"batch_size": 64, "student": STUDENTS[2]}],
    "disguide": [{"batch_size": 16}, {"batch_size": 32}],
    "knockoff": [
        {"recipe": "shared"},
        {"recipe": "shared", "temperature": "sweep"},
        {"recipe": "shared", "temperature": 4.0},
        {"recipe": "shared", "temperature": 20.0},
    ],
    "black_box_ripper": [
        RELEASED,
        RELEASED | {"reuse": "all", "loss": "kl", "epochs": 60},
        RELEASED | {"reuse": "all", "loss": "kl", "epochs": 60, "evolve": False},
        RELEASED | {"reuse": "all", "loss": "kl", "epochs": 60, "max_generations": 3},
        RELEASED | {"reuse": "all", "loss": "bce", "epochs": 60, "max_generations": 3},
    ],
}
# What won for another method of the same family after the first round.
SECOND: dict[str, list[dict[str, Any]]] = {
    "dfme": [
        {"batch_size": 16, "student": STUDENTS[0], "replay_steps": 20, "loss": "kl",
         "generator_lr": 1e-3},
        {"batch_size": 32, "student": STUDENTS[0], "replay_steps": 20, "loss": "l1",
         "generator_lr": 1e-3},
    ],
    "maze": [
        {"batch_size": 16, "student": STUDENTS[0], "replay_steps": 20, "directions": 10,
         "generator_lr": 1e-2, "clone_steps": 5},
    ],
    "dual_students": [
        {"batch_size": 16, "student": STUDENTS[0], "replay_steps": 20, "loss": "kl",
         "generator_lr": 1e-3, "student_steps": 5},
    ],
}  # fmt: skip


def candidates(method: str, draws: int) -> list[dict[str, Any]]:
    """The published settings, the hints, `draws` drawn by the method's name, the second round."""
    chance, space = random.Random(method), SPACES[method]
    drawn = [{key: chance.choice(values) for key, values in space.items()} for _ in range(draws)]
    return [flat(one) for one in [{}, *HINTS[method], *drawn, *SECOND.get(method, [])]]


def flat(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with those of the student in their places."""
    rest = {key: value for key, value in settings.items() if key != "student"}
    return rest | settings.get("student", {})


def victim_of(name: str) -> tuple[nn.Module, LabelledInputs, float]:
    """A LeNet of the first half of the training rows, other training rows, its accuracy there."""
    rows = load(name, "train", shape=SHAPE)
    half = len(rows) // 2
    own, others = rows.take(slice(0, half)), rows.take(slice(half, half + TEST_ROWS))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build("lenet", SHAPE, CLASSES)
        training = Training(
            epochs=EPOCHS[name], lr=0.02, batch_size=16 if name == "digits" else 64, threads=1
        )
        found = train_classifier(network, own, others, training, rng=torch.Generator())
    return network, others, found.validation_accuracy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", choices=list(SPACES), required=True)
    parser.add_argument("--victim", choices=list(EPOCHS), required=True)
    parser.add_argument("--settings", type=int, default=8)
    parser.add_argument("--best", type=int, default=0, help="only the best N of seed 0")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget", type=int, default=BUDGET)
    parser.add_argument("--out", type=Path, default=OUT)
    wanted = parser.parse_args()
    path = wanted.out / f"{wanted.method}-{wanted.victim}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = json.loads(path.read_text()) if path.is_file() else []
    todo = candidates(wanted.method, wanted.settings)
    if wanted.best:
        first = sorted((row for row in rows if row["seed"] == 0), key=lambda r: -r["agreement"])
        todo = [row["settings"] for row in first[: wanted.best]]
    network, test, accuracy = victim_of(wanted.victim)
    print(f"victim: {accuracy:.4f} on {len(test):,} other training rows", flush=True)
    owns_images = wanted.method in ("knockoff", "black_box_ripper")
    proxy = load_proxy("cifar10", shape=SHAPE) if owns_images else None
    generators = {
        name: ready_generator(name, proxy.to("cpu"))
        for key, name in NARROW[wanted.method].items()
        if key == "generator" and proxy is not None
    }
    threat = ThreatModel(input_shape=SHAPE, num_classes=CLASSES, query_budget=wanted.budget)
    for settings in todo:
        key = (settings, wanted.seed, wanted.budget)
        if key in [(row["settings"], row["seed"], row["budget"]) for row in rows]:
            continue
        began = time.monotonic()
        with TemporaryDirectory() as folder:
            result = run_audit(Audit(
                victim=network, threat=threat, test=test, student=STUDENT, proxy=proxy,
                attack=ATTACKS[wanted.method](**{**NARROW[wanted.method], **settings}),
                out=Path(folder) / "run", seed=wanted.seed, generators=generators,
                options=RunOptions(keep="none", spot_check=0),
            ))  # fmt: skip
        rows.append({
            "method": wanted.method, "victim": wanted.victim, "victim_accuracy": accuracy,
            "settings": settings, "seed": wanted.seed, "budget": wanted.budget,
            "queries": result.spent, "agreement": result.curve[-1].agreement.value,
            "seconds": round(time.monotonic() - began),
        })  # fmt: skip
        path.write_text(json.dumps(rows, indent=1) + "\n")
        print(rows[-1], flush=True)


if __name__ == "__main__":
    main()
