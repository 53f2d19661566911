"""Ex Nihilo: evolves procedural drawings by the uncertainty of two surrogates; clonecost's own.

Other data-free attacks train a generator from noise: against the victim (DFME, which spends 29 of
100 queries on gradients) or against students (DisGUIDE). Here no network makes images: random
shapes before a background are drawn (`drawings`), the victim labels them, and they become
parents of the next images (`attacks._frugal`: surrogates select, and every queried row trains the
student).
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from clonecost.attacks._frugal import Frugal
from clonecost.attacks.base import AttackerKit, Declaration
from clonecost.query_synthesis.procedural_images import drawings
from clonecost.types import Shape


@dataclass(frozen=True, kw_only=True)
class ExNihilo(Frugal):
    """Evolves drawings of random shapes, without data; two surrogates select the images to query.

    Example:
        >>> ExNihilo(round_size=500, epochs=20)
    """

    # new images; noise, every value by itself, is the control: what are the drawings worth?
    source: Literal["drawings", "noise"] = "drawings"

    declares: ClassVar = Declaration(
        needs="label", multi_label=True, by_settings=("clone_epochs", "search_passes", "drawn")
    )

    def drawn(self, budget: int) -> tuple[int, int]:
        """Children, which cross bought rows, take about the time of a drawing."""
        first, *later = self.rounds(budget)
        sizes = [first * min(2, self.candidates), *(size * self.candidates for size in later)]
        return sum(sizes), max(sizes)

    def new(self, count: int, shape: Shape, kit: AttackerKit) -> Tensor:
        if self.source == "noise":
            return torch.rand(count, *shape, generator=kit.rng, device=kit.device)
        return drawings(count, shape, kit.rng)
