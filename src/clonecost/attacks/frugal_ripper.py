"""Frugal Ripper: evolves proxy images by the uncertainty of two surrogates; clonecost's own.

Black-Box Ripper (Barbalau et al., NeurIPS 2020) queries the victim for the fitness of every child
and trains on the winners: some 100 queries for each row that trains the student. Here every queried
row trains the student, and the selection costs no query (`attacks._frugal`). New images are proxy
images, or G(z) with z ~ N(0, I).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from clonecost.attacks._frugal import Frugal
from clonecost.attacks.base import AttackerKit, Declaration
from clonecost.types import Shape


@dataclass(frozen=True, kw_only=True)
class FrugalRipper(Frugal):
    """Evolves proxy images, or a generator's; two surrogates select the images to query.

    Example:
        >>> FrugalRipper(round_size=500, epochs=20)
        >>> FrugalRipper(source="sngan-small")
    """

    # source of new images: the proxy data, or a generator by name or folder
    source: str = "proxy"

    declares: ClassVar = Declaration(
        needs="label",
        proxy="changed",
        multi_label=True,
        by_settings=("clone_epochs", "search_passes", "generators"),
    )

    @property
    def generators(self) -> tuple[str, ...]:
        return () if self.source == "proxy" else (self.source,)

    def new(self, count: int, shape: Shape, kit: AttackerKit) -> Tensor:
        if self.source != "proxy":
            generator = kit.trained_generator(self.source)
            return generator.decode(generator.sample_latents(count, kit.rng))
        proxy = kit.required_proxy(self)
        rows = torch.randint(len(proxy), (count,), generator=kit.rng, device=kit.device)
        return proxy.rows(rows.cpu(), kit.device)
