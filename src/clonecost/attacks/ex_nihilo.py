"""Ex Nihilo: evolves procedural drawings by the uncertainty of two surrogates; clonecost's own.

Other data-free attacks train a generator from noise: against the victim (DFME, which spends 29 of
100 queries on gradients) or against students (DisGUIDE). Here no network makes images: random
shapes before a background are drawn (`picture_families`), the victim labels them, and they become
parents of the next images (`attacks._frugal`: surrogates select, and every queried row trains the
student).
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from torch import Tensor

from clonecost.attacks._frugal import Frugal, Source
from clonecost.attacks.base import AttackerKit, Declaration, out_of_range
from clonecost.query_synthesis.picture_families import FAMILIES, Family
from clonecost.types import Shape


@dataclass(frozen=True, kw_only=True)
class ExNihilo(Frugal):
    """Evolves drawings of random shapes, without data; two surrogates select the images to query.

    Example:
        >>> ExNihilo(round_size=500, epochs=20)
    """

    # kinds of new images, joined by +: drawings, clouds, mosaics, scenes, noise
    families: str = "drawings"

    declares: ClassVar = Declaration(needs="label", multi_label=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not set(self.families.split("+")) <= set(FAMILIES):
            raise out_of_range(self, "families", f"of {', '.join(FAMILIES)}, joined by +")

    def sources(self, shape: Shape, kit: AttackerKit) -> dict[str, Source]:
        return {
            name: partial(_drawn, FAMILIES[name], shape, kit) for name in self.families.split("+")
        }


def _drawn(family: Family, shape: Shape, kit: AttackerKit, count: int) -> Tensor:
    return family(count, shape, kit.rng)
