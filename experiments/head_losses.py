"""Which loss fits a head on a public backbone best, on fine-tuned and on unrelated victims.

    python -m experiments.head_losses --trunk CACHE --clipart CLIPART --out RESULT.json
        [--victims unrelated] [--pools clipart] [--fits equations] [--budgets 300,775]

The attacker has EfficientNet-Lite0 at 96 pixels and the victim's probabilities. From the same
bought rows and features a head is fitted by cross-entropy (as `linear_probe` did), by E3's loss at
several temperatures, and by the least squares of log-ratios (as `frozen_head`). Victims:

- `rate R`: those of `frozen_head_finetuned`, one for each seed; CACHE is its file.
- `whole`: the victim of `pretrained_student`: all layers fine-tuned at 48 pixels (`--whole FILE`).
- `resnet18`: `cifar10-resnet18`, unrelated (32 pixels).
- `groups`: a ResNet-8 on superclasses of CIFAR-100 (`tuning_victims`), unrelated (32 pixels).

For the unrelated ones and `whole` a seed draws the rows of the pool. Agreement is on 1,000 rows of
the victim's kind that nobody trained on. Runs that RESULT.json holds already are left out.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clonecost.backbones import load_backbone
from clonecost.data import load
from clonecost.evaluation.seed_interval import t_interval
from clonecost.networks.pretrained import Pretrained
from clonecost.tabular.linear_head import solve_head
from clonecost.training.linear_head import probe_head
from clonecost.training.losses import floor_of, kl, tempered
from clonecost.types import as_pixels
from clonecost.victims.zoo.images import zoo_victim
from experiments.frozen_head_features import clipart
from experiments.frozen_head_finetuned import SIDE, TRAINING, Top, Trunk, fine_tuned, of
from experiments.pretrained_student import BACKBONE, made
from experiments.tuning_victims import tuning_victim

RATES = (1e-6, 1e-5, 1e-4, 1e-3)
UNRELATED = ("resnet18", "groups")
VICTIMS = (*(f"rate {rate:g}" for rate in RATES), "whole", *UNRELATED)
SEEDS, POOL, TESTED, CLASSES, D = (0, 1, 2), 1_640, 1_000, 10, 1_280
TEMPERATURES = (1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True)
class Run:
    victim: str
    pool: str
    budget: int
    seed: int
    fit: str
    agreement: float
    held_out_kl: float  # nats, on a tenth of the bought rows that the fit has not seen
    held_out: float  # share of them whose class is right
    seconds: float


@dataclass(frozen=True)
class Seen:
    """What the attacker of a victim has, and by what it is scored."""

    features: Tensor  # (POOL, D)
    answers: Tensor  # (POOL, K)
    tested: Tensor  # (TESTED, D)
    right: Tensor  # (TESTED,)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trunk", type=Path, required=True)
    parser.add_argument("--clipart", type=Path, required=True)
    parser.add_argument("--whole", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--victims", default=",".join(VICTIMS), help="or a part of one name")
    parser.add_argument("--pools", default="clipart,cifar100")
    parser.add_argument("--budgets", default="100,300,775,1550")
    parser.add_argument(
        "--fits", default="cross-entropy,equations", help="and T = 1, T = 2, T = 5, T = 10 of E3"
    )
    told = parser.parse_args()
    torch.set_num_threads(1)
    runs = held(told.out)
    fits = told.fits.split(",")
    for name in told.victims.split(","):
        for pool in told.pools.split(","):
            if (name, pool) == ("groups", "cifar100"):
                continue  # which it was trained on
            for seed in SEEDS:
                missing = [
                    (budget, fit) for budget in map(int, told.budgets.split(",")) for fit in fits
                    if not any((r.victim, r.pool, r.budget, r.seed, r.fit)
                               == (name, pool, budget, seed, fit) for r in runs)
                ]  # fmt: skip
                if not missing:
                    continue
                seen = kept(told, name, pool, seed)
                order = torch.randperm(POOL, generator=torch.Generator().manual_seed(seed))
                for budget, fit in missing:
                    x, p = seen.features[order[:budget]], seen.answers[order[:budget]]
                    found = run(FITS[fit], x, p, seen)
                    runs.append(Run(name, pool, budget, seed, fit, *found))
                    print(runs[-1], flush=True)
                    told.out.write_text(json.dumps(document(runs), indent=1) + "\n")


# -- the fits -------------------------------------------------------------------------------------

Logits = Callable[[Tensor], Tensor]  # features -> logits


def run(
    fit: Callable[[Tensor, Tensor], Logits], x: Tensor, p: Tensor, seen: Seen
) -> tuple[float, float, float, float]:
    """Agreement, KL and agreement on a tenth of the bought rows, seconds of both fits."""
    tenth, began = len(p) // 10, time.monotonic()
    rest = fit(x[tenth:], p[tenth:])(x[:tenth]).float()
    whole = fit(x, p)(seen.tested).argmax(1)
    return (
        float((whole == seen.right).double().mean()), float(kl(rest, p[:tenth]).mean()),
        float((rest.argmax(1) == p[:tenth].argmax(1)).double().mean()),
        round(time.monotonic() - began, 1),
    )  # fmt: skip


def cross_entropy(x: Tensor, p: Tensor) -> Logits:
    head = Pretrained(nn.Identity(), features=D, num_classes=p.shape[1])
    probe_head(head, x, p, torch.arange(len(p)) < len(p) // 10)
    return head.head.requires_grad_(False)


def equations(x: Tensor, p: Tensor) -> Logits:
    return solve_head(x, p, "probs").logits


def at_temperature(t: float, x: Tensor, p: Tensor) -> Logits:
    head = Pretrained(nn.Identity(), features=D, num_classes=p.shape[1])
    loss = partial(tempered, temperature=t, smallest=floor_of(p))
    probe_head(head, x, p, torch.arange(len(p)) < len(p) // 10, loss=loss)
    return head.head.requires_grad_(False)


FITS: dict[str, Callable[[Tensor, Tensor], Logits]] = {
    "cross-entropy": cross_entropy, "equations": equations,
    **{f"T = {t:g}": partial(at_temperature, t) for t in TEMPERATURES},
}  # fmt: skip

CHOICES = {  # on held-out bought rows
    "chosen": ("cross-entropy", "equations"),
    "T chosen": tuple(f"T = {t:g}" for t in TEMPERATURES),
}

# -- victims and pictures -------------------------------------------------------------------------


def kept(told: argparse.Namespace, name: str, pool: str, seed: int) -> Seen:
    """What a victim shows, from a file beside the result if it was made before."""
    draws = seed if name.startswith("rate") else 0
    file = told.out.with_name(f"{told.out.stem}-{name.replace(' ', '-')}-{pool}-{draws}.pt")
    if not file.is_file():
        seen = made_for(told, name, pool, seed)
        torch.save([seen.features, seen.answers, seen.tested, seen.right], file)
    return Seen(*torch.load(file, weights_only=True))


@torch.no_grad()
def made_for(told: argparse.Namespace, name: str, pool: str, seed: int) -> Seen:
    parts = "cifar100" if name == "groups" else "cifar10"
    x, a = computed(told, pool, lambda: pictures(told, pool))
    tested, b = computed(told, f"tests-{parts}", lambda: tests_of(name))
    encoder = load_backbone("efficientnet-lite0", size=SIDE).as_module(frozen=True)
    public = Top(Trunk(encoder).network).eval()
    if name.startswith("rate"):
        rows, _, _ = torch.load(told.trunk, weights_only=True)
        order = torch.randperm(50_000, generator=torch.Generator().manual_seed(0))
        part = slice(seed * TRAINING, (seed + 1) * TRAINING)
        labels = load("cifar10", "train").labels[order[part]]
        with torch.enable_grad():
            top, head = fine_tuned(public, rows[part], labels, float(name[5:]), seed)
        answers, right = (head(of(top, one)).softmax(1) for one in (a, b))
    else:
        answer = answerer(told, name)
        answers, right = (
            torch.cat([answer(as_pixels(one)) for one in many.split(64)]) for many in (x, tested)
        )
    return Seen(of(public, a), answers.float(), of(public, b), right.argmax(1))


def computed(
    told: argparse.Namespace, name: str, make: Callable[[], Tensor]
) -> tuple[Tensor, Tensor]:
    """Pictures, and what the last blocks of the backbone get of them, kept in a file."""
    file = told.out.with_name(f"{told.out.stem}-pictures-{name}.pt")
    if not file.is_file():
        encoder = load_backbone("efficientnet-lite0", size=SIDE).as_module(frozen=True)
        trunk, rows = Trunk(encoder).eval(), make()
        torch.save([rows, torch.cat([trunk(as_pixels(one)) for one in rows.split(64)])], file)
    rows, blocks = torch.load(file, weights_only=True)
    return rows, blocks


def answerer(told: argparse.Namespace, name: str) -> Callable[[Tensor], Tensor]:
    """(n, 3, 96, 96) pixels -> probabilities."""
    if name == "whole":
        network = made(BACKBONE, 48)
        network.load_state_dict(torch.load(told.whole, weights_only=True))
        network.eval()
        return lambda x: network(x).softmax(1)
    small = partial(F.interpolate, size=32, mode="bilinear", antialias=True)
    victim = (
        zoo_victim("cifar10-resnet18").answer if name == "resnet18" else tuning_victim(name).answer
    )
    return lambda x: victim(small(x).clamp(0, 1))


def tests_of(name: str) -> Tensor:
    """(TESTED, 3, 96, 96) uint8, of the victim's kind."""
    rows = tuning_victim(name).rows if name == "groups" else load("cifar10", "test").inputs
    return enlarged(rows[:TESTED])


def pictures(told: argparse.Namespace, pool: str) -> Tensor:
    """(POOL, 3, 96, 96) uint8 in a random order."""
    if pool == "clipart":
        made = clipart(told.clipart, POOL)
        return torch.cat([as_bytes(F.interpolate(x, size=SIDE, mode="area")) for x in made])
    data = load(pool, "train").inputs
    return enlarged(
        data[torch.randperm(len(data), generator=torch.Generator().manual_seed(3))[:POOL]]
    )


def enlarged(rows: Tensor) -> Tensor:
    parts = (F.interpolate(as_pixels(x), size=SIDE, mode="bilinear") for x in rows.split(64))
    return torch.cat([as_bytes(part) for part in parts])


def as_bytes(pixels: Tensor) -> Tensor:
    return (pixels * 255).round().clamp(0, 255).to(torch.uint8)


# -- the result -----------------------------------------------------------------------------------


def held(file: Path) -> list[Run]:
    return [Run(**one) for one in json.loads(file.read_text())["runs"]] if file.is_file() else []


def document(runs: list[Run]) -> dict[str, object]:
    return {
        "what": "agreement of heads on EfficientNet-Lite0 at 96 px, by the loss that fits them",
        "test_rows": TESTED, "interval": "Student's, 95 %, over the seeds",
        "cells": list(cells(runs)), "runs": [asdict(one) for one in runs],
    }  # fmt: skip


def cells(runs: list[Run]) -> Iterator[dict[str, object]]:
    for name, fits in CHOICES.items():
        runs = [*runs, *chosen(runs, name, fits)]
    keys = dict.fromkeys((r.victim, r.pool, r.budget, r.fit) for r in runs)
    for key in keys:
        values = [r.agreement for r in runs if (r.victim, r.pool, r.budget, r.fit) == key]
        low, high = t_interval(values) if len(values) > 2 else (0.0, 1.0)
        yield {
            **dict(zip(("victim", "pool", "budget", "fit"), key, strict=True)),
            "seeds": len(values), "agreement": sum(values) / len(values),
            "low": max(0.0, low), "high": min(1.0, high),
        }  # fmt: skip


def chosen(runs: list[Run], name: str, fits: tuple[str, ...]) -> Iterator[Run]:
    """Of each seed the fit with the lowest KL on the held-out rows, where all were run."""
    groups: dict[tuple[str, str, int, int], list[Run]] = {}
    for one in runs:
        if one.fit in fits:
            groups.setdefault((one.victim, one.pool, one.budget, one.seed), []).append(one)
    for group in groups.values():
        if len(group) == len(fits):
            yield replace(min(group, key=lambda one: one.held_out_kl), fit=name)


if __name__ == "__main__":
    main()
