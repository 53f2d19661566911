"""Where the exact attack ends: heads that were fine-tuned together with the backbone's last blocks.

    python -m experiments.frozen_head_finetuned --clipart CLIPART --out RESULT.json [--train]

EfficientNet-Lite0 at 96 pixels, to spare time. The owner trains the last 4 of 16 blocks, the last
convolution and a softmax head on 1,500 training images of CIFAR-10: Adam, 5 epochs, batch 32, the
head at 1e-3, the blocks at each of several rates, statistics of BatchNorm as they were. The
attacker solves for a head on the public features of 1,538 pictures of clip art, from float32
answers. With `--train` the attacker then trains the same last blocks and the solved head on these
answers, without further queries (as `frozen_head:fine_tune` does with all of the network).
RESULT.json, where it exists, keeps what it holds and gets these numbers.
"""

import argparse
import json
from copy import deepcopy
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clonecost.backbones import load_backbone
from clonecost.data import load
from clonecost.evaluation.seed_interval import t_interval
from clonecost.networks.pretrained import Pretrained
from clonecost.tabular.linear_head import solve_head
from clonecost.tabular.solved_head import solved_fit
from clonecost.training.fine_tune import FineTune, fine_tune
from clonecost.training.linear_head import probe_head
from clonecost.types import as_pixels
from experiments.frozen_head_features import clipart

SIDE, FIRST, BATCH = 96, 12, 32  # blocks below FIRST stay as they are
RATES = (0.0, 1e-6, 1e-5, 1e-4, 1e-3)
TRAINED = (1e-5, 1e-4)  # rates of victims against which the attacker trains, too
# as `frozen_head:fine_tune`, without shifts and flips of what the blocks get
RECIPE = FineTune(lr=2e-4, epochs=6, low_epochs=0, augment="none", bfloat16=False)
SEEDS, TRAINING, TESTED, ASKED, EPOCHS, CLASSES = (0, 1, 2), 1_500, 1_500, 1_538, 5, 10


class Trunk(nn.Module):
    """Normalised pixels -> what the last blocks get."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder, self.network = encoder, encoder.network.network

    def forward(self, pixels: Tensor) -> Tensor:
        net = self.network
        x = (self.encoder.fitted(pixels) - self.encoder.mean) / self.encoder.std
        x = net._swish(net._bn0(net._conv_stem(x)))
        for block in net._blocks[:FIRST]:
            x = block(x)
        return x


class Top(nn.Module):
    """The last blocks, the last convolution and the mean over places -> (n, 1280)."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.blocks = deepcopy(network._blocks[FIRST:])
        self.conv, self.norm = deepcopy(network._conv_head), deepcopy(network._bn1)
        self.act = network._swish

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return self.act(self.norm(self.conv(x))).mean((2, 3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clipart", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, help="keeps what the trained blocks get")
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--probe", action="store_true")
    told = parser.parse_args()
    torch.set_num_threads(1)
    encoder = load_backbone("efficientnet-lite0", size=SIDE).as_module(frozen=True)
    trunk = Trunk(encoder).eval()
    train, test = load("cifar10", "train"), load("cifar10", "test")
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
    order = order[: len(SEEDS) * TRAINING]
    if told.cache and told.cache.is_file():
        rows, tested, asked = torch.load(told.cache, weights_only=True)
    else:
        made = clipart(told.clipart, ASKED + 200)
        with torch.no_grad():
            rows = torch.cat([trunk(part) for part in enlarged(train.inputs[order])])
            tested = torch.cat([trunk(part) for part in enlarged(test.inputs[:TESTED])])
            asked = torch.cat([trunk(F.interpolate(p, size=SIDE, mode="area")) for p in made])
        if told.cache:
            torch.save([rows, tested, asked], told.cache)
    public = Top(trunk.network).eval()
    features, seen = of(public, asked), of(public, tested)
    cells = held(told.out)
    for seed in SEEDS:
        for rate in RATES:
            cell = cells[rate]
            trains = told.train and rate in TRAINED and len(cell["trained"]) == seed
            probes = told.probe and len(cell["probed"]) == seed
            if len(cell["seeds"]) != seed and not trains and not probes:
                continue
            part = slice(seed * TRAINING, (seed + 1) * TRAINING)
            top, head = fine_tuned(public, rows[part], train.labels[order[part]], rate, seed)
            chosen = torch.randperm(len(asked), generator=torch.Generator().manual_seed(seed))
            chosen = chosen[:ASKED]
            with torch.no_grad():
                right = head(of(top, tested)).argmax(1)
                answers = head(of(top, asked[chosen])).softmax(1)
            if len(cell["seeds"]) == seed:
                solved = solve_head(features[chosen], answers, "probs")
                cell["seeds"].append(share(solved.logits(seen).argmax(1) == right))
                cell["explained"].append(solved.explained)
                cell["victim_accuracy"].append(share(right == test.labels[:TESTED]))
            if probes:
                clone = probed(features[chosen], answers)
                cell["probed"].append(share(clone(seen).argmax(1) == right))
            if trains:
                clone = trained(public, asked[chosen], answers, seed)
                cell["trained"].append(share(of(clone, tested).argmax(1) == right))
            print(rate, seed, {key: values[seed:] for key, values in cell.items()}, flush=True)
            told.out.write_text(json.dumps(document(cells), indent=1) + "\n")


def share(right: Tensor) -> float:
    return float(right.double().mean())


Cells = dict[float, dict[str, list[float]]]  # of each rate, values by seed


def held(file: Path) -> Cells:
    """What an earlier run has measured."""
    keys = ("seeds", "explained", "victim_accuracy", "trained", "probed")
    cells: Cells = {rate: {key: [] for key in keys} for rate in RATES}
    for one in json.loads(file.read_text())["cells"] if file.is_file() else []:
        cells[one["rate"]] = {key: list(one.get(key, ())) for key in keys}
    return cells


def document(cells: Cells) -> dict[str, object]:
    found = []
    for rate, cell in cells.items():
        one: dict[str, object] = {"rate": rate, **cell}
        for name, key in (
            ("solved", "seeds"), ("trained_clone", "trained"), ("linear_probe", "probed"),
        ):  # fmt: skip
            values = cell[key]
            low, high = t_interval(values) if len(values) > 1 else (0.0, 1.0)
            if values:
                one[name] = {"agreement": mean(values), "low": max(0.0, low),
                             "high": min(1.0, high)}  # fmt: skip
        found.append(one)
    return {
        "what": "agreement of the solved head with a victim whose last blocks were fine-tuned",
        "side": SIDE, "queries": ASKED, "test_rows": TESTED, "cells": found,
        "interval": "Student's, 95 %, over the seeds",
    }  # fmt: skip


def trained(public: Top, rows: Tensor, answers: Tensor, seed: int) -> nn.Module:
    """The public last blocks and the solved head, fine-tuned on the answers."""
    top = deepcopy(public).requires_grad_(True)
    clone = Pretrained(top, features=1_280, num_classes=CLASSES)
    rng = torch.Generator().manual_seed(seed)
    fine_tune(clone, rows, answers, RECIPE, rng=rng, fit=solved_fit("probs"))
    return clone.eval()


def probed(features: Tensor, answers: Tensor) -> nn.Module:
    """The head of `knockoff:linear_probe` on these rows."""
    clone = Pretrained(nn.Identity(), features=1_280, num_classes=CLASSES)
    probe_head(clone, features, answers, torch.arange(len(answers)) < len(answers) // 10)
    return clone.head


def enlarged(rows: Tensor) -> list[Tensor]:
    return [
        F.interpolate(as_pixels(part), size=(SIDE, SIDE), mode="bilinear")
        for part in rows.split(BATCH)
    ]


@torch.no_grad()
def of(top: nn.Module, rows: Tensor) -> Tensor:
    return torch.cat([top(part) for part in rows.split(256)])


def fine_tuned(
    public: Top, rows: Tensor, labels: Tensor, rate: float, seed: int
) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(seed)
    top, head = deepcopy(public).eval().requires_grad_(True), nn.Linear(1_280, CLASSES)
    groups = [{"params": head.parameters(), "lr": 1e-3}, {"params": top.parameters(), "lr": rate}]
    search = torch.optim.Adam(groups)
    for _ in range(EPOCHS):
        for part in torch.randperm(len(rows)).split(BATCH):
            search.zero_grad()
            F.cross_entropy(head(top(rows[part])), labels[part]).backward()
            search.step()
    return top.requires_grad_(False), head.requires_grad_(False)


if __name__ == "__main__":
    main()
