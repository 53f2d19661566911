"""Frugal Ripper: clonecost's own. Pictures evolve as in Black-Box Ripper, but students judge them.

Black-Box Ripper (Barbalau et al., NeurIPS 2020) asks the victim for the fitness of every child and
trains on the winners: some 100 queries for a row of the student's. Here every row that is asked is
a row of the student's, and what is not worth asking is found out for nothing (`attacks.frugal`).
New pictures are proxy images, or G(z) with z ~ N(0, I).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from clonecost.attacks._frugal import Frugal
from clonecost.attacks.base import AttackerKit, Declaration
from clonecost.errors import SpecError
from clonecost.types import Shape


@dataclass(frozen=True, kw_only=True)
class FrugalRipper(Frugal):
    # where new images come from: the proxy data, or a generator by name or folder
    source: str = "proxy"

    declares: ClassVar = Declaration(needs="label", proxy="changed", by_settings=("generators",))

    @property
    def generators(self) -> tuple[str, ...]:
        return () if self.source == "proxy" else (self.source,)

    def new(self, count: int, shape: Shape, kit: AttackerKit) -> Tensor:
        if self.source != "proxy":
            generator = kit.trained_generator(self.source)
            return generator.decode(generator.sample_latents(count, kit.rng))
        if kit.proxy is None:
            raise SpecError("frugal_ripper begins with proxy data: name some with --proxy")
        rows = torch.randint(len(kit.proxy), (count,), generator=kit.rng, device=kit.device)
        return kit.proxy.rows(rows.cpu(), kit.device)
