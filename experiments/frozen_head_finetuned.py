"""Where the exact attack ends: heads that were fine-tuned together with the backbone's last blocks.

    python -m experiments.frozen_head_finetuned --clipart CLIPART --out RESULT.json

EfficientNet-Lite0 at 96 pixels, to spare time. The owner trains the last 4 of 16 blocks, the last
convolution and a softmax head on 1,500 training images of CIFAR-10: Adam, 5 epochs, batch 32, the
head at 1e-3, the blocks at each of several rates, statistics of BatchNorm as they were. The
attacker solves for a head on the public features of 1,538 pictures of clip art, from float32
answers.
"""

import argparse
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clonecost.backbones import load_backbone
from clonecost.data import load
from clonecost.evaluation.seed_interval import t_interval
from clonecost.tabular.linear_head import solve_head
from clonecost.types import as_pixels
from experiments.frozen_head_features import clipart

SIDE, FIRST, BATCH = 96, 12, 32  # blocks below FIRST stay as they are
RATES = (0.0, 1e-6, 1e-5, 1e-4, 1e-3)
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
    told = parser.parse_args()
    torch.set_num_threads(1)
    encoder = load_backbone("efficientnet-lite0", size=SIDE).as_module(frozen=True)
    trunk = Trunk(encoder).eval()
    train, test = load("cifar10", "train"), load("cifar10", "test")
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
    order = order[: len(SEEDS) * TRAINING]
    made = clipart(told.clipart, ASKED + 200)
    with torch.no_grad():
        rows = torch.cat([trunk(part) for part in enlarged(train.inputs[order])])
        tested = torch.cat([trunk(part) for part in enlarged(test.inputs[:TESTED])])
        asked = torch.cat([trunk(F.interpolate(part, size=SIDE, mode="area")) for part in made])
    public = Top(trunk.network).eval()
    features, seen = of(public, asked), of(public, tested)
    found = []
    for rate in RATES:
        cells = []
        for seed in SEEDS:
            part = slice(seed * TRAINING, (seed + 1) * TRAINING)
            top, head = fine_tuned(public, rows[part], train.labels[order[part]], rate, seed)
            chosen = torch.randperm(len(asked), generator=torch.Generator().manual_seed(seed))
            chosen = chosen[:ASKED]
            with torch.no_grad():
                right = head(of(top, tested))
                answers = head(of(top, asked[chosen])).softmax(1)
            solved = solve_head(features[chosen], answers, "probs")
            agreement = (solved.logits(seen).argmax(1) == right.argmax(1)).double().mean()
            accuracy = (right.argmax(1) == test.labels[:TESTED]).double().mean()
            cells.append([float(agreement), solved.explained, float(accuracy)])
            print(rate, seed, cells[-1], flush=True)
        low, high = t_interval([one[0] for one in cells])
        found.append({
            "rate": rate, "agreement": sum(one[0] for one in cells) / len(cells),
            "low": max(0.0, low), "high": min(1.0, high), "seeds": [one[0] for one in cells],
            "explained": [one[1] for one in cells], "victim_accuracy": [one[2] for one in cells],
        })  # fmt: skip
    document = {
        "what": "agreement of the solved head with a victim whose last blocks were fine-tuned",
        "side": SIDE, "queries": ASKED, "test_rows": TESTED, "cells": found,
        "interval": "Student's, 95 %, over the seeds",
    }  # fmt: skip
    told.out.write_text(json.dumps(document, indent=1) + "\n")


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
