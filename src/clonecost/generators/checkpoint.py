"""A training that was cut off goes on where its last whole epoch ended.

    <the generator's folder>/unfinished.pt    networks, optimisers, random states, losses so far

It goes on to the very weights that it would have had, and is thrown away when they are there. One
of another proxy, recipe, seed or version of torch is not gone on with.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

UNFINISHED = "unfinished.pt"


class Stateful(Protocol):
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: Any, /) -> Any: ...


@dataclass
class Unfinished:
    """Where a training keeps what it has so far; without a path nowhere."""

    path: Path | None = None
    meant_for: str = ""  # everything that determines the weights
    earlier: float = 0.0  # seconds that went into it before it was cut off
    started: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """Of training, also before it was cut off."""
        return self.earlier + time.perf_counter() - self.started

    def keep(
        self,
        parts: Mapping[str, Stateful],
        rngs: Mapping[str, torch.Generator],
        losses: list[dict[str, float]],
    ) -> None:
        """After every epoch; whole or not at all."""
        if self.path is None:
            return
        fresh = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        torch.save(
            {
                "meant_for": self.meant_for,
                "parts": {name: part.state_dict() for name, part in parts.items()},
                "rngs": {name: rng.get_state() for name, rng in rngs.items()},
                "losses": losses,
                "seconds": self.seconds,
            },
            fresh,
        )
        fresh.replace(self.path)

    def restore(
        self, parts: Mapping[str, Stateful], rngs: Mapping[str, torch.Generator]
    ) -> list[dict[str, float]]:
        """Set all of them to where they were; the losses of the epochs that are done already."""
        if self.path is None or not self.path.is_file():
            return []
        try:
            found = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception:  # over a broken file torch falls in many ways; it costs time, no more
            return []
        if found.get("meant_for") != self.meant_for:
            return []
        for name, part in parts.items():
            part.load_state_dict(found["parts"][name])
        for name, rng in rngs.items():
            rng.set_state(found["rngs"][name])
        self.earlier = found["seconds"]
        return list(found["losses"])

    def drop(self) -> None:
        if self.path is not None:
            self.path.unlink(missing_ok=True)


NOWHERE = Unfinished()  # keeps nothing
