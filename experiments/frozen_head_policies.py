"""What an answer policy costs the attacker of a frozen backbone: queries x policy, by algebra.

    python -m experiments.frozen_head_policies --features FEATURES --out RESULT.json

The victim is EfficientNet-Lite0 at 224 pixels, frozen, with a softmax head fitted on 1,500 training
images of CIFAR-10. The attacker has the same backbone and clip art, or with `--pool cifar10`
further training images, which the owner has not used. FEATURES are those of `frozen_head_features`;
with them every cell is a system of equations. The attack of the package sees float32 answers;
float64 answers are made here only.

Seeds of a cell that RESULT.json holds already are left out. Agreement is that of the predicted
class on 1,500 test images of CIFAR-10; each seed has a head, a training set and an order of the
pool of its own.
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from clonecost.evaluation.seed_interval import t_interval
from clonecost.tabular.linear_head import pivoted_rows, solve_head
from clonecost.types import AnswerKind

SEEDS = (0, 1, 2)
TRAINING, CLASSES = 1_500, 10
D = 1_280


@dataclass(frozen=True)
class Policy:
    kind: AnswerKind
    step: float = 0.0
    dtype: torch.dtype = torch.float32

    def of(self, p: Tensor) -> Tensor:
        """The answers, as an attack gets them."""
        if self.kind == "label":
            return F.one_hot(p.argmax(1), CLASSES).float()
        if self.kind == "top_k":
            p = p * (p >= p.topk(5, 1).values[:, 4:])
        if self.step:
            p = (p / self.step).round() * self.step
        return (p / p.sum(1, keepdim=True)).to(self.dtype)


POLICIES = {
    "float64": Policy("probs", dtype=torch.float64),
    "float32": Policy("probs"),
    "4 decimals": Policy("probs", 1e-4),
    "3 decimals": Policy("probs", 1e-3),
    "2 decimals": Policy("probs", 1e-2),
    "top 5": Policy("top_k"),
    "label": Policy("label"),
}
COARSE = ("2 decimals", "label", "top 5", "4 decimals", "3 decimals")  # these take minutes each
CELLS = [  # in groups, the most telling first; the result is written after each
    [("random", name, 1_538) for name in ("float64", "float32")],
    [("random", "float32", budget) for budget in (100, 200, 400, 800, 1_281)],
    [("random", name, 400) for name in (*COARSE, "float64")],
    [("pivoted", "float32", 1_281)],
    [("pivoted", "float32", budget) for budget in (200, 400, 800, 1_538)],
    [("pivoted", name, 400) for name in ("4 decimals", "2 decimals", "label")],
    *([("random", name, 1_538)] for name in COARSE),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pool", choices=("clipart", "cifar10"), default="clipart")
    told = parser.parse_args()
    torch.set_num_threads(1)
    train, labels = read(told.features / "train.npz")
    test, truth = read(told.features / "test.npz")
    owners, accuracies = [], []
    for seed in SEEDS:
        own = torch.arange(seed * TRAINING, (seed + 1) * TRAINING)
        owners.append(fitted(train[own], labels[own]))
        right = answers(test, *owners[-1]).argmax(1)
        accuracies.append(float((right == truth).double().mean()))
    cells = held(told.out, told.pool)
    for group in CELLS:
        for seed in SEEDS:
            missing = [one for one in group if len(cells.get(one, ())) == seed]
            if not missing:
                continue
            mine = pool(told, train, seed)
            for order, name, budget in missing:
                value = cell(mine, order, POLICIES[name], budget, test, owners[seed], (seed, name))
                cells.setdefault((order, name, budget), []).append(value)
            found = document(told.pool, cells, accuracies, len(test))
            told.out.write_text(json.dumps(found, indent=1) + "\n")


def held(file: Path, pool: str) -> dict[tuple[str, str, int], list[float]]:
    """The cells of an earlier run."""
    if not file.is_file():
        return {}
    document = json.loads(file.read_text())
    if document["pool"] != pool:
        raise SystemExit(f"{file} holds the pool {document['pool']}, not {pool}")
    return {
        (one["order"], one["policy"], one["queries"]): one["seeds"]
        for one in document["cells"]
    }  # fmt: skip


def pool(told: argparse.Namespace, train: Tensor, seed: int) -> Tensor:
    """Features of the attacker's pictures, in a random order.

    Of CIFAR-10 they are training pictures that the owner of this seed has not used.
    """
    if told.pool == "cifar10":
        others = torch.ones(len(train), dtype=torch.bool)
        others[seed * TRAINING : (seed + 1) * TRAINING] = False
        found = train[others]
    else:
        found, _ = read(told.features / f"{told.pool}.npz")
    return found[torch.randperm(len(found), generator=torch.Generator().manual_seed(seed))]


def cell(
    mine: Tensor, order: str, policy: Policy, budget: int, test: Tensor,
    owner: tuple[Tensor, Tensor], words: tuple[object, ...],
) -> float:  # fmt: skip
    began = time.perf_counter()
    asked = mine[:budget]
    if order == "pivoted":
        some = mine[: 3 * budget // 2]
        asked = some[pivoted_rows(some, budget)]
    p = policy.of(answers(asked, *owner))
    head = solve_head(asked, p, policy.kind, step=policy.step)
    same = head.logits(test).argmax(1) == answers(test, *owner).argmax(1)
    agreement = float(same.double().mean())
    print(
        *words, order, budget, f"{agreement:.4f}", f"explained {head.explained:.6f}",
        f"held out {head.held_out:.3f}", f"{time.perf_counter() - began:.1f} s", flush=True,
    )  # fmt: skip
    return agreement


def read(file: Path) -> tuple[Tensor, Tensor]:
    with np.load(file) as held:
        return torch.from_numpy(held["features"]), torch.from_numpy(held["labels"])


def fitted(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The owner's head: multinomial regression with weight decay, in float64."""
    x = features.double()
    mean = x.mean(0)
    weight = torch.zeros(CLASSES, D, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(CLASSES, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        z = (x - mean) @ weight.T + bias
        value = F.cross_entropy(z, labels) + 1e-3 * weight.square().sum()
        value.backward()
        return value

    search.step(loss)
    return weight.detach(), (bias - weight @ mean).detach()


def answers(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return (features.double() @ weight.T + bias).softmax(1)


def document(
    pool: str, cells: dict[tuple[str, str, int], list[float]], accuracies: list[float], rows: int
) -> dict[str, object]:
    found = []
    for (order, policy, budget), values in cells.items():
        low, high = t_interval(values) if len(values) > 1 else (0.0, 1.0)
        found.append({
            "order": order, "policy": policy, "queries": budget,
            "agreement": sum(values) / len(values), "seeds": values,
            "low": max(0.0, low), "high": min(1.0, high),
        })  # fmt: skip
    return {
        "what": "agreement with a frozen EfficientNet-Lite0 whose head is private",
        "pool": pool, "features": D, "classes": CLASSES, "test_rows": rows,
        "victim_accuracy": accuracies,
        "interval": "Student's, 95 %, over the seeds", "cells": found,
    }  # fmt: skip


if __name__ == "__main__":
    main()
