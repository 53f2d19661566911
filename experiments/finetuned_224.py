"""A victim of 224 pixels whose last blocks were fine-tuned, and what public backbones get of it.

    python -m experiments.finetuned_224 --clipart CLIPART --out FOLDER [--queries 300] [--tune]

EfficientNet-Lite0 at 224 pixels; its owner trains the last blocks at a rate of 1e-4 and a head on
600 images of CIFAR-10, 5 epochs, as in `frozen_head_finetuned`. FOLDER gets `model.onnx` and
`test.npz` (200 test images), for `clonecost fingerprint` and audits, and `result.json`: agreement
of a linear probe, and with `--tune` of the fine-tuned student, from pictures of clip art.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from clonecost.backbones import load_backbone
from clonecost.data import load
from clonecost.students import load_student
from clonecost.training.fine_tune import FineTune
from clonecost.training.recipes import train
from clonecost.types import as_pixels
from experiments.finetuned_victims import Victim
from experiments.frozen_head_features import SIDE, clipart, enlarged
from experiments.frozen_head_finetuned import Top, Trunk, fine_tuned

RATE, TRAINING, TESTED, CLASSES, SEED = 1e-4, 600, 200, 10, 0
STUDENT = "backbone:efficientnet-lite0"
RECIPES = {"linear probe": FineTune(epochs=0, low_epochs=0), "fine-tuned": FineTune()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clipart", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--tune", action="store_true")
    told = parser.parse_args()
    torch.set_num_threads(1)
    told.out.mkdir(parents=True, exist_ok=True)
    tests = as_bytes(torch.cat(list(enlarged(load("cifar10", "test").inputs[:TESTED]))))
    victim = owner(told.out, tests)
    right = of(victim, tests).argmax(1)
    bought = as_bytes(torch.cat(list(clipart(told.clipart, told.queries))))
    answers = of(victim, bought)
    file = told.out / "result.json"
    found = json.loads(file.read_text()) if file.is_file() else {}
    for name, recipe in RECIPES.items():
        if name in found or (recipe.passes and not told.tune):
            continue
        torch.manual_seed(SEED)
        clone = load_student(STUDENT, (3, SIDE, SIDE), CLASSES).make()
        began = time.monotonic()
        train(clone, bought, answers, recipe, rng=torch.Generator().manual_seed(SEED))
        agreement = float((of(clone, tests).argmax(1) == right).double().mean())
        found[name] = {
            "queries": told.queries, "agreement": agreement,
            "majority": float(right.bincount().max()) / TESTED,
            "seconds": round(time.monotonic() - began),
        }  # fmt: skip
        print(name, found[name], flush=True)
        file.write_text(json.dumps(found, indent=1) + "\n")


def owner(out: Path, tests: Tensor) -> nn.Module:
    """The victim, (n, 3, 224, 224) pixels -> probabilities; made once."""
    encoder = load_backbone("efficientnet-lite0").as_module(frozen=True)
    trunk = Trunk(encoder).eval()
    public, file = Top(trunk.network).eval(), out / "victim.pt"
    if file.is_file():
        victim = Victim(trunk, public, nn.Linear(1_280, CLASSES))
        victim.load_state_dict(torch.load(file, weights_only=True))
        return victim.eval()
    data = load("cifar10", "train")
    with torch.no_grad():
        rows = torch.cat([trunk(part) for part in enlarged(data.inputs[:TRAINING])])
    top, head = fine_tuned(public, rows, data.labels[:TRAINING], RATE, SEED)
    victim = Victim(trunk, top, head).eval()
    torch.save(victim.state_dict(), file)
    labels = load("cifar10", "test").labels[:TESTED]
    accuracy = float((of(victim, tests).argmax(1) == labels).double().mean())
    print("victim: accuracy", accuracy, flush=True)
    np.savez(out / "test.npz", inputs=tests.numpy(), labels=labels.numpy())
    torch.onnx.export(
        victim, (torch.rand(2, 3, SIDE, SIDE),), str(out / "model.onnx"),
        input_names=["pixels"], output_names=["probabilities"], opset_version=17,
        dynamic_axes={"pixels": {0: "n"}, "probabilities": {0: "n"}}, dynamo=False,
    )  # fmt: skip
    return victim


@torch.no_grad()
def of(network: nn.Module, rows: Tensor) -> Tensor:
    """Of a victim probabilities, of a clone logits."""
    network.eval()
    return torch.cat([network(as_pixels(part)) for part in rows.split(32)])


def as_bytes(pixels: Tensor) -> Tensor:
    return (pixels * 255).round().clamp(0, 255).to(torch.uint8)


if __name__ == "__main__":
    main()
