"""Features of EfficientNet-Lite0 at 224 pixels for `frozen_head_policies`, kept in a folder.

    python -m experiments.frozen_head_features --clipart CLIPART --out FEATURES

CLIPART is the folder of Debian's openclipart-png (public domain). A core makes some 25 pictures a
second; what is in the folder already is not made again.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from clonecost.backbones import Backbone, load_backbone
from clonecost.data import load
from clonecost.types import as_pixels

SIDE, BATCH = 224, 32
LARGEST = 400_000  # pixels of a picture: larger ones take long to read
CROP = (0.4, 1.0)  # side of a random square of a picture, as a share of its shorter side


Image.MAX_IMAGE_PIXELS = None  # only the header of such a picture is read, and it is left out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clipart", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    told = parser.parse_args()
    torch.set_num_threads(1)
    told.out.mkdir(parents=True, exist_ok=True)
    backbone = load_backbone("efficientnet-lite0")
    train, test = load("cifar10", "train"), load("cifar10", "test")
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[:4_500]
    parts = {
        "test": (enlarged(test.inputs[:1_500]), test.labels[:1_500]),
        "train": (enlarged(train.inputs[order]), train.labels[order]),
        "clipart": (clipart(told.clipart, 1_640), None),
    }
    for name, (batches, labels) in parts.items():
        file = told.out / f"{name}.npz"
        if file.exists():
            continue
        features = of_batches(backbone, batches, name)
        known = torch.zeros(0, dtype=torch.int64) if labels is None else labels
        np.savez(file, features=features.numpy(), labels=known.numpy())


def of_batches(backbone: Backbone, batches: Iterator[Tensor], name: str) -> Tensor:
    found: list[Tensor] = []
    for batch in batches:
        found.append(backbone(batch))
        print(name, sum(map(len, found)), flush=True)
    return torch.cat(found)


def enlarged(rows: Tensor) -> Iterator[Tensor]:
    """Rows of CIFAR-10 at 224 pixels, bilinearly."""
    for part in rows.split(BATCH):
        yield F.interpolate(as_pixels(part), size=(SIDE, SIDE), mode="bilinear")


def clipart(folder: Path, count: int) -> Iterator[Tensor]:
    """A random square of each of `count` pictures drawn at random, on white."""
    rng = np.random.default_rng(0)
    files = [file for file in sorted(folder.rglob("*.png")) if pixels(file) <= LARGEST]
    chosen = [files[k] for k in rng.permutation(len(files))[:count]]
    for start in range(0, count, BATCH):
        yield torch.stack([square(file, rng) for file in chosen[start : start + BATCH]])


def pixels(file: Path) -> int:
    with Image.open(file) as opened:
        return opened.width * opened.height


def square(file: Path, rng: np.random.Generator) -> Tensor:
    with Image.open(file) as opened:
        opened.thumbnail((512, 512))
        drawing = opened.convert("RGBA")
    picture = Image.new("RGB", drawing.size, "white")
    picture.paste(drawing, mask=drawing.getchannel("A"))
    side = max(1, int(min(picture.size) * rng.uniform(*CROP)))
    left, top = (int(rng.integers(0, length - side + 1)) for length in picture.size)
    fitted = picture.resize(
        (SIDE, SIDE), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side)
    )
    return torch.from_numpy(np.asarray(fitted).copy()).permute(2, 0, 1).float() / 255


if __name__ == "__main__":
    main()
