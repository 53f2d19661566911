"""An attack of one's own: query uniform noise, then distill (docs/contributing/attack.md).

Run it: python examples/own_attack.py. It writes runs/example-noise/.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

import clonecost as cc
from clonecost.attacks.base import AttackerKit, at_least
from clonecost.oracle import Oracle
from clonecost.training.distill import Recipe, distill
from clonecost.types import AnswerKind


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Label uniform noise with the victim, then distill. A floor for every other attack."""

    batch_size: int = 256
    epochs: int = 20

    needs: ClassVar[AnswerKind] = "label"  # the poorest answers that the attack can work with
    uses_proxy: ClassVar[bool] = False

    def __post_init__(self) -> None:
        at_least(1, self, "batch_size", "epochs")  # refused before any query

    def plan(self, budget: int) -> str:
        return f"asks about {budget:,} images of noise, then trains {self.epochs} epochs"

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[nn.Module]:
        inputs: list[Tensor] = []
        answers: list[Tensor] = []
        stops = [*kit.milestones, oracle.threat.query_budget]  # where a clone is scored
        # a long loop names what its iterations depend on, so that a killed run goes on there
        for turn in kit.loop(lambda turn: turn < len(stops), inputs=inputs, answers=answers):
            stop = stops[turn]
            while oracle.spent < stop:
                count = min(self.batch_size, stop - oracle.spent)
                shape = (count, *oracle.threat.input_shape)
                x = torch.rand(shape, generator=kit.rng, device=kit.device)
                inputs.append(x)
                answers.append(oracle(x))  # costs len(x) queries; refused whole if they do not fit
            branch = kit.branch(stop)  # the same clone, whatever was trained before it
            student = branch.new_student()
            recipe = Recipe(epochs=self.epochs)
            paid = torch.cat(inputs), torch.cat(answers)
            distill(student, *paid, recipe, rng=branch.rng, loop=kit.loop)
            yield student


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
