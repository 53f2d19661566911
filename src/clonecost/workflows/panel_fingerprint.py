"""What a panel learns of the victim's backbone before its attacks, and what follows for them.

The rows are asked through the defences, as those of an attacker, on an account of the panel.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

import torch

from clonecost.attacks.frozen_head import FrozenHead
from clonecost.backbones import load_backbone
from clonecost.config import Spec
from clonecost.config.build import Parts
from clonecost.config.panel_entries import PlannedEntry
from clonecost.result.fingerprint import Applies, Fingerprint
from clonecost.students.naming import parse_student
from clonecost.types import Progress, ProxyData
from clonecost.workflows.fingerprint import LEAST, dictionary, examine

LEDGER = "fingerprint.sqlite"  # in the panel's folder
TIMED = 16  # pictures of noise by which a backbone is timed
SHARE = 0.1  # of the time that is left: what the victim may take for the rows
ITS_PART = 0.5  # of the rows and the time that are left, for an attack that surely applies


@dataclass(frozen=True)
class Known:
    """What is known of the victim's backbone.

    Attributes:
        found: None: nothing is known.
        speed: seconds in which the guessed backbone makes the features of a picture.
    """

    found: Fingerprint | None = None
    speed: float | None = None

    def refusal(self, entry: PlannedEntry) -> str:
        """Why the entry's attack does not apply, without a full stop; empty: it may."""
        told = self._told(entry)
        return "" if told is None or told.applies else told.why

    def needs(self, entry: PlannedEntry) -> int:
        """Rows from which the entry's attack has an exact clone; 0: not known."""
        told = self._told(entry)
        return (told.queries or 0) if told else 0

    def settings(self, entry: PlannedEntry) -> dict[str, Any]:
        """Further settings of the entry's attack, which the answers speak for."""
        best = self.found.best if self.found else None
        if best is None or not isinstance(entry.made, FrozenHead):
            return {}
        own = entry.spec.set.get("frozen_head", {})
        found: dict[str, Any] = {"backbone": best.name, "normalisation": best.normalisation}
        if best.size is not None:
            found["size"] = best.size
        return {key: value for key, value in found.items() if key not in own}

    def student(self, entry: PlannedEntry) -> str | None:
        """The entry's student, with pictures of the size at which its backbone explains most.

        It is as it was where it has a size of its own or another backbone.
        """
        name = entry.spec.student
        best = self.found.closest if self.found else None
        if name is None or best is None or best.size is None:
            return name
        told = parse_student(name)
        fits = told.kind == "backbone" and told.name == best.name and told.size is None
        return f"{name},size={best.size}" if fits else name

    def seconds(self, entry: PlannedEntry, rows: int, scored: int) -> float | None:
        """The time of the entry's attack, beside the victim's; None: not known.

        Args:
            scored: rows on which its clones are scored; their features are made once.
        """
        attack, best = entry.made, self.found.best if self.found else None
        if self.speed is None or best is None or not isinstance(attack, FrozenHead):
            return None
        first = attack.rows * (best.features + 1)
        return self.speed * (ceil(attack.candidates * max(first, rows)) + scored)

    def _told(self, entry: PlannedEntry) -> Applies | None:
        if self.found is None or not isinstance(entry.made, FrozenHead):
            return None
        return next(one for one in self.found.attacks if one.attack == "frozen_head")


def look(
    entry: PlannedEntry, spec: Spec, parts: Parts, pool: ProxyData, out: Path, *, rows: int,
    left: float, victim: float, held: Fingerprint | None, progress: Progress,
    clock: Callable[[], float] = time.perf_counter,
) -> Known:  # fmt: skip
    """Ask the rows, or take over what is known from them already.

    Args:
        entry: that of `frozen_head`, whose guess is examined; without one, the listed backbones.
        out: the panel's folder.
        left: seconds until the time limit.
        victim: seconds of an answer.
        held: of an earlier session.

    Raises:
        CloneCostError: as the oracle.
    """
    attack = entry.made
    assert isinstance(attack, FrozenHead)
    name, size = attack.backbone, attack.size
    if held is None:
        rows = min(rows, int(SHARE * left / victim)) if victim else rows
        if rows < LEAST:
            return Known()
        if "backbone" in entry.spec.set.get("frozen_head", {}):
            guesses = [one for one in dictionary((name,)) if one.name == name]
        else:
            guesses = dictionary(())
        guesses = [replace(one, size=size) for one in guesses]
        if attack.normalisation != "own":
            guesses = [replace(one, normalisation=attack.normalisation) for one in guesses]
            guesses = list(dict.fromkeys(guesses))
        held = examine(spec, parts, pool, out / LEDGER, guesses, rows=rows, progress=progress)
    if held.best:
        name, size = held.best.name, size or held.best.size
    backbone = load_backbone(name, size=size)
    noise = torch.rand(TIMED, *backbone.input_shape, generator=torch.Generator().manual_seed(0))
    backbone(noise[:2])  # warms up
    began = clock()
    backbone(noise[2:])
    return Known(held, (clock() - began) / (TIMED - 2))
