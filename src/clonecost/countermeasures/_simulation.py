"""Pairs of clean and served answers that an attacker makes alone, and maps that are fitted to them.

The prior of the clean answers is a mixture of Dirichlet distributions around centres. Honest
centres are the answers that the API served; the released attack uses the victim's clean ones.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from clonecost.countermeasures.base import Known
from clonecost.types import ThreatModel

SHARPNESS = 8  # concentration 8 K centre
LEAST = 1e-2  # of a concentration: below it, a draw underflows to 0 / 0
GROWTH = 4  # a map is fitted again when so many times as many answers were served
MOST = 20_000  # served answers that are kept as centres

Recovery = Callable[[Tensor], Tensor]  # (n, K) served -> (n, K) recovered
Fit = Callable[[Tensor], Recovery]  # (n, K) centres -> the map


def pairs(centres: Tensor, rows: int, known: Known, threat: ThreatModel) -> tuple[Tensor, Tensor]:
    """Clean answers around the centres and what the API would serve for them, (rows, K) each.

    A defence with a state first serves the centres, so that it is in the state that they show.
    """
    classes = centres.shape[1]
    place = torch.arange(rows) % len(centres)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(known.seed + len(centres))
        spread = (SHARPNESS * classes * centres.double().cpu()).clamp_min(LEAST)
        clean = torch.distributions.Dirichlet(spread[place]).sample()
    clean = (clean / clean.sum(1, keepdim=True)).to(centres.dtype)
    server = known.server(threat)
    if known.stateful:
        server(centres.cpu())
    return clean.to(centres.device), server(clean).to(centres.device)


@dataclass
class Refitted:
    """Answers by a map that is fitted to the answers served so far, again each time they grow.

    Attributes:
        fit: makes the map.
        centres: of the prior, if they are not the served answers.
    """

    fit: Fit
    centres: Tensor | None = None
    _seen: list[Tensor] = field(default_factory=list)
    _fitted: int = 0  # served answers to which the map is fitted
    _map: Recovery | None = None

    def __call__(self, served: Tensor) -> Tensor:
        answers = served[:, 0]
        if self._count < MOST:
            self._seen.append(answers)
            if self._count >= GROWTH * self._fitted:
                self._fitted, self._map = self._count, None
        if self._map is None:
            self._map = self._fit(answers.device)
        return self._map(answers)

    @property
    def _count(self) -> int:
        return sum(map(len, self._seen))

    def _fit(self, device: torch.device) -> Recovery:
        seen = torch.cat(self._seen)[: self._fitted].to(device)
        return self.fit(seen if self.centres is None else self.centres.to(seen))

    def state_dict(self) -> dict[str, Any]:
        return {"seen": torch.cat(self._seen) if self._seen else None, "fitted": self._fitted}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._seen = [] if state["seen"] is None else [state["seen"]]
        self._fitted, self._map = state["fitted"], None
