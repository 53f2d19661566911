"""Prior and search told apart: DisGUIDE from our drawings, Ex Nihilo from an untrained generator.

    python -m experiments.fairness --rows disguide ours-from-generator [--budget 10000]
        [--seeds 0 1 2] [--victim mnist] [--out FILE]

    disguide                profile small-budget, generator of width 16
    disguide-from-drawings  the same; before the first query its generator learns to decode drawings
    ours                    Ex Nihilo
    ours-from-generator     its new pictures come from untrained generators of the same kind
    drawings                the prior alone: varied drawings, no children, nothing selected

A victim that no table shows (`experiments.tuning_victims`). Every row ends with a fresh student
that is trained alike on all bought rows. One line of JSON a run, on the screen and at the end of
FILE.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from clonecost.attacks.base import AttackerKit, DeferredClone
from clonecost.attacks.disguide import PROFILES
from clonecost.attacks.ex_nihilo import ExNihilo
from clonecost.networks import build
from clonecost.networks.dfme_generator import build_generator
from clonecost.oracle import Oracle
from clonecost.query_synthesis.image_mutation import views
from clonecost.query_synthesis.procedural_images import drawings
from clonecost.training.distill import Recipe, distill
from clonecost.training.optimisers import Adam
from clonecost.types import Shape, ThreatModel
from experiments.last_clone import Keeping
from experiments.tuning_victims import CLASSES, SHAPES, STUDENTS, tuning_victim

WIDTH = 16
STEPS, BATCH = 1_500, 64  # of the generator that learns to decode drawings
SPREAD = 0.002  # weight of the latents' distance from N(0, I) beside the squared error


@dataclass(frozen=True, kw_only=True)
class FromGenerators(ExNihilo):
    """Ex Nihilo whose new pictures come from untrained generators, a fresh one for every call."""

    def new(self, count: int, shape: Shape, kit: AttackerKit) -> Tensor:
        generator = kit.new_generator(256, width=WIDTH)
        with torch.no_grad():
            latents = torch.randn(count, 256, generator=kit.rng)
            return torch.cat([(generator(z).tanh() + 1) / 2 for z in latents.split(512)])


def varied_drawings(count: int, shape: Shape, rng: torch.Generator) -> Tensor:
    """(count, *shape) pixels, as Ex Nihilo's new pictures."""
    drawn = drawings(count, shape, rng)
    return views(drawn, drawn.roll(1, 0), rng)


def taught(shape: Shape, seed: int) -> Callable[..., nn.Module]:
    """A factory of generators that decode drawings: the decoder of a variational autoencoder."""

    def make(latent_dim: int, *, width: int) -> nn.Module:
        generator = build_generator(latent_dim, shape, width=width)
        encoder = build("lenet", shape, 2 * latent_dim)
        rng = torch.Generator().manual_seed(seed)
        optimizer = Adam([*generator.parameters(), *encoder.parameters()], lr=1e-3, fused=True)
        for _ in range(STEPS):
            x = varied_drawings(BATCH, shape, rng)
            mean, log_variance = encoder(x).chunk(2, 1)
            z = mean + (log_variance / 2).exp() * torch.randn(mean.shape, generator=rng)
            far = ((generator(z).tanh() + 1) / 2 - x).square().mean()
            spread = (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean() / 2
            loss = far + SPREAD / x[0].numel() * spread
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return generator

    return make


def untrained(shape: Shape, _: int) -> Callable[..., nn.Module]:
    """A factory of generators as DisGUIDE starts from them."""
    return lambda latent_dim, *, width: build_generator(latent_dim, shape, width=width)


def attack_of(row: str) -> Any:
    """The attack whose `run` buys the rows."""
    if row.startswith("disguide"):
        return replace(PROFILES["small-budget"], generator_width=WIDTH)
    return {
        "ours": ExNihilo(), "ours-from-generator": FromGenerators(),
        "drawings": ExNihilo(children=0.0, candidates=1),
    }[row]  # fmt: skip


ROWS = ["disguide", "disguide-from-drawings", "ours", "ours-from-generator", "drawings"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--victim", choices=SHAPES, default="mnist")
    parser.add_argument("--rows", choices=ROWS, nargs="+", default=ROWS)
    parser.add_argument("--budget", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path)
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    victim, shape = tuning_victim(wanted.victim), SHAPES[wanted.victim]
    for seed in wanted.seeds:
        for row in wanted.rows:
            threat = ThreatModel(input_shape=shape, num_classes=CLASSES, query_budget=wanted.budget)
            oracle, began = Keeping(victim, threat), time.process_time()
            kit = AttackerKit(
                student=lambda: build(STUDENTS[wanted.victim], shape, CLASSES),
                generator=(taught if row == "disguide-from-drawings" else untrained)(shape, seed),
                rng=torch.Generator().manual_seed(seed), device=torch.device("cpu"),
                horizon=wanted.budget,
            )  # fmt: skip
            *_, last = attack_of(row).run(cast(Oracle, oracle), kit)
            images, answers = (torch.cat(part) for part in zip(*oracle.rows, strict=True))
            fresh = kit.branch(oracle.spent)
            student = fresh.new_student()
            distill(student, images, answers, Recipe(epochs=40), rng=fresh.rng)
            own = None if isinstance(last, DeferredClone) else last
            result = {
                "row": row, "victim": wanted.victim, "budget": oracle.spent, "seed": seed,
                "own": own and round(victim.agreement(cast(nn.Module, own)), 4),
                "fresh": round(victim.agreement(student), 4),
                "nats": round(float(-(answers * (answers + 1e-12).log()).sum(1).mean()), 3),
                "seconds": round(time.process_time() - began, 1),
            }  # fmt: skip
            print(json.dumps(result), flush=True)
            if wanted.out:
                with wanted.out.open("a") as file:
                    file.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
