"""Ex Nihilo: clonecost's own data-free attack. The first pictures are drawn, the next ones bred.

Other data-free attacks train a generator from noise: against the victim (DFME, which pays 29 of 100
queries for its gradients) or against students (DisGUIDE). Here no network makes pictures: random
shapes before a background are drawn (`drawings`), and what the victim says about them decides which
become parents (`attacks.frugal`: scouts select, one query a row, every row teaches).
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from clonecost.attacks._frugal import Frugal
from clonecost.attacks.base import AttackerKit, Declaration
from clonecost.query_synthesis.procedural_images import drawings
from clonecost.types import Shape


@dataclass(frozen=True, kw_only=True)
class ExNihilo(Frugal):
    declares: ClassVar = Declaration(needs="label")

    def new(self, count: int, shape: Shape, kit: AttackerKit) -> Tensor:
        return drawings(count, shape, kit.rng)
