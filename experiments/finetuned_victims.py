"""Victims whose backbone was fine-tuned, as ONNX files: for `clonecost fingerprint` and audits.

    python -m experiments.finetuned_victims --cache CACHE --out FOLDER [--rates 0,1e-5,1e-4]

They are those of `frozen_head_finetuned` (EfficientNet-Lite0 at 96 pixels, ten classes), whose
CACHE of what the trained blocks get is needed. FOLDER gets a file for each rate and seed, and
`test.npz`: 300 enlarged test images of CIFAR-10. Then, for each file:

    clonecost fingerprint FOLDER/rate-1e-05-seed0.onnx --test FOLDER/test.npz
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from clonecost.backbones import load_backbone
from clonecost.data import load
from experiments.frozen_head_finetuned import (
    SEEDS,
    SIDE,
    TRAINING,
    Top,
    Trunk,
    enlarged,
    fine_tuned,
)

ROWS = 300


class Victim(nn.Module):
    """(n, 3, 96, 96) pixels in [0, 1] -> (n, 10) probabilities."""

    def __init__(self, trunk: Trunk, top: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.trunk, self.top, self.head = trunk, top, head

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.head(self.top(self.trunk(pixels)))
        return logits.softmax(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rates", default="0,1e-6,1e-5,1e-4,1e-3")
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)))
    told = parser.parse_args()
    torch.set_num_threads(1)
    told.out.mkdir(parents=True, exist_ok=True)
    encoder = load_backbone("efficientnet-lite0", size=SIDE).as_module(frozen=True)
    trunk = Trunk(encoder).eval()
    public = Top(trunk.network).eval()
    rows, _, _ = torch.load(told.cache, weights_only=True)
    train, test = load("cifar10", "train"), load("cifar10", "test")
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
    pictures = (torch.cat(enlarged(test.inputs[:ROWS])) * 255).round().byte()
    np.savez(told.out / "test.npz", inputs=pictures.numpy(), labels=test.labels[:ROWS].numpy())
    for seed in map(int, told.seeds.split(",")):
        part = slice(seed * TRAINING, (seed + 1) * TRAINING)
        for rate in map(float, told.rates.split(",")):
            file = told.out / f"rate-{rate:g}-seed{seed}.onnx"
            if file.is_file():
                continue
            top, head = fine_tuned(public, rows[part], train.labels[order[part]], rate, seed)
            torch.onnx.export(
                Victim(trunk, top, head).eval(), (torch.rand(2, 3, SIDE, SIDE),), str(file),
                input_names=["pixels"], output_names=["probabilities"], opset_version=17,
                dynamic_axes={"pixels": {0: "n"}, "probabilities": {0: "n"}}, dynamo=False,
            )  # fmt: skip
            print(file, flush=True)


if __name__ == "__main__":
    main()
