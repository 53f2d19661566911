"""Noise: labels uniform noise with the victim, then distills. A floor for every other attack."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

import clonecost as cc
from clonecost.attacks.base import AttackerKit, Clone, Declaration, DeferredClone, at_least
from clonecost.oracle import Oracle
from clonecost.training.distill import Recipe, distill


@dataclass(frozen=True, kw_only=True)
class Noise:
    batch_size: int = 256  # rows per call of the victim
    epochs: int = 20  # epochs of the student

    declares: ClassVar = Declaration(needs="label")  # the poorest answers that it can work with

    def __post_init__(self) -> None:
        at_least(1, self, "batch_size", "epochs")  # refused before any query

    def plan(self, budget: int) -> str:
        return f"queries {budget:,} images of noise, then trains {self.epochs} epochs"

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[Clone]:
        inputs: list[Tensor] = []
        answers: list[Tensor] = []

        def clone(rows: int, kit: AttackerKit) -> nn.Module:  # of the first rows bought
            student, recipe = kit.new_student(), Recipe(epochs=self.epochs)
            x, y = torch.cat(inputs)[:rows], torch.cat(answers)[:rows]
            distill(student, x, y, recipe, rng=kit.rng, loop=kit.loop)
            return student

        # a long loop names what its iterations depend on, so that a killed run goes on there
        for _ in kit.loop(lambda _: oracle.remaining > 0, inputs=inputs, answers=answers):
            shape = (min(self.batch_size, oracle.remaining), *oracle.threat.input_shape)
            x = torch.rand(shape, generator=kit.rng, device=kit.device)
            inputs.append(x)
            answers.append(oracle(x))  # costs len(x) queries, refused whole if they do not fit
            yield DeferredClone(clone)  # trained only when the audit scores it


# Run it: python examples/own_attack.py. It writes runs/example-noise/.
def main() -> None:
    shape = (1, 32, 32)
    result = cc.run_audit(
        cc.Audit(
            victim=cc.zoo_victim("digits-lenet").answer,
            threat=cc.ThreatModel(input_shape=shape, num_classes=10, query_budget=1_000),
            attack=Noise(epochs=2),
            test=cc.load("digits", "test", shape=shape),
            student="half-lenet",
            out=Path("runs/example-noise"),
        )
    )
    print(f"{result.curve[-1].agreement.value:.0%} agreement for {result.spent:,} queries")


if __name__ == "__main__":
    main()
