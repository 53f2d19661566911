"""Do labels tell a model's own backbone from an unrelated one? Several backbones, six victims.

    python -m experiments.label_fingerprint --kept STEM --out RESULT.json [--rows 300]

STEM is the result of `head_losses`, beside which it keeps what its victims show: pictures of clip
art, answers to them, and EfficientNet-Lite0's features. Own victims: the frozen EfficientNet-Lite0
of `frozen_head_finetuned` with a head for each of three seeds. Unrelated ones: `resnet18`,
`groups` and `whole` (fine-tuned as a whole, at another size). A head on each backbone is fitted to
the labels of four fifths of the rows and read on the last fifth, five times. The sign is how far
EfficientNet-Lite0 is ahead of the best other: the mean colours, the ResNet-18 of
`cifar10-resnet18`, the ResNet-8 of `groups`, and a ResNet-18 with random weights.
"""

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clonecost.networks import build
from clonecost.tabular.linear_head import solve_head
from clonecost.types import as_pixels
from clonecost.victims.zoo.images import zoo_victim
from experiments.frozen_head_finetuned import SEEDS
from experiments.tuning_victims import tuning_victim

OWN, OTHERS = ("rate 0",), ("resnet18", "groups", "whole")
OURS, FOLDS, CLASSES = "efficientnet-lite0", 5, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kept", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=300)
    told = parser.parse_args()
    torch.set_num_threads(1)
    pictures, _ = torch.load(beside(told.kept, "pictures-clipart"), weights_only=True)
    others = {name: of_all(make, pictures) for name, make in other_backbones().items()}
    found = []
    for name in (*OWN, *OTHERS):
        for seed in SEEDS:
            draws = seed if name in OWN else 0
            file = beside(told.kept, f"{name.replace(' ', '-')}-clipart-{draws}")
            features, answers, _, _ = torch.load(file, weights_only=True)
            order = torch.randperm(len(answers), generator=torch.Generator().manual_seed(seed))
            rows = order[: told.rows]
            labels = F.one_hot(answers[rows].argmax(1), CLASSES).float()
            right = {
                one: held_out(x[rows], labels) for one, x in {OURS: features, **others}.items()
            }
            majority = float(labels.mean(0).max())
            found.append({"victim": name, "seed": seed, "majority": majority, "right": right})
            print(found[-1], flush=True)
    document = {
        "what": "share of left-out labels that a head on each backbone has right",
        "rows": told.rows, "folds": FOLDS, "runs": found,
    }  # fmt: skip
    told.out.write_text(json.dumps(document, indent=1) + "\n")


def beside(kept: Path, name: str) -> Path:
    return kept.with_name(f"{kept.stem}-{name}.pt")


def held_out(features: Tensor, labels: Tensor) -> float:
    """The share of rows whose label is right when a fifth is left out."""
    right, fold = 0, torch.arange(len(labels)) % FOLDS
    for k in range(FOLDS):
        head = solve_head(features[fold != k], labels[fold != k], "label")
        guess = head.logits(features[fold == k]).argmax(1)
        right += int((guess == labels[fold == k].argmax(1)).sum())
    return right / len(labels)


def other_backbones() -> dict[str, Callable[[Tensor], Tensor]]:
    """By name, (n, 3, 96, 96) pixels -> features."""
    torch.manual_seed(0)
    trained = zoo_victim("cifar10-resnet18").network
    assert trained is not None
    networks = {
        "cifar10-resnet18": trained, "groups": tuning_victim("groups").network,
        "resnet18, random weights": build("resnet18-8x", (3, 32, 32), CLASSES).eval(),
    }  # fmt: skip
    found: dict[str, Callable[[Tensor], Tensor]] = {
        name: partial(before_last, network) for name, network in networks.items()
    }
    return {"mean colours": lambda x: F.adaptive_avg_pool2d(x, 8).flatten(1), **found}


def before_last(network: nn.Module, pixels: Tensor) -> Tensor:
    """What the last linear layer of a network of 32 pixels gets."""
    last = [one for one in network.modules() if isinstance(one, nn.Linear)][-1]
    caught: list[Tensor] = []
    hook = last.register_forward_pre_hook(lambda _, given: caught.append(given[0]))
    network(F.interpolate(pixels, size=32, mode="bilinear", antialias=True))
    hook.remove()
    return caught[0].flatten(1)


@torch.no_grad()
def of_all(make: Callable[[Tensor], Tensor], pictures: Tensor) -> Tensor:
    return torch.cat([make(as_pixels(one)) for one in pictures.split(64)])


if __name__ == "__main__":
    main()
