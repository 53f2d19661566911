"""Runs of a toy to their end, with which tests compare what others did."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tests.support.recording_oracle import RecordingVictim
from tests.support.toys import MakeAudit
from torch.optim.optimizer import register_optimizer_step_post_hook

from clonecost.audit import run_audit
from clonecost.result import Result
from clonecost.types import LabelledInputs, ThreatModel, Victim

LITTLE = 600  # a budget of two rounds or more, for everything that does not look at the clone


@dataclass(frozen=True)
class Undisturbed:
    """What a run found, what its victim was asked, its optimiser steps and its folder."""

    result: Result
    victim: RecordingVictim
    steps: int
    folder: Path
    same_randomness: bool  # of the caller, before and after


def counted(run: Callable[[], Result | None] | Callable[[], None]) -> tuple[Result | None, int]:
    """The result of `run`, and the number of optimiser steps that it took."""
    steps = 0

    def step(*_: object) -> None:
        nonlocal steps
        steps += 1

    hook = register_optimizer_step_post_hook(step)
    try:
        result = run()
    finally:
        hook.remove()
    return result, steps


def undisturbed(
    make_audit: MakeAudit, name: str, victim: Victim, folder: Path, **settings: Any
) -> Undisturbed:
    """The run of an attack by its name."""
    asked = RecordingVictim(victim)
    audit = make_audit(name, victim=asked, out=folder, **settings)
    before = torch.get_rng_state()
    result, steps = counted(lambda: run_audit(audit))
    assert result is not None
    return Undisturbed(result, asked, steps, folder, torch.equal(torch.get_rng_state(), before))


def few_rows(threat: ThreatModel, proxy: LabelledInputs) -> dict[str, Any]:
    """The settings of a run of `LITTLE` rows."""
    few: dict[str, Any] = {
        "threat": replace(threat, query_budget=LITTLE), "milestones": (3, 250, 251, 430),
    }  # fmt: skip
    if threat.features is None:  # some attacks query each row of the pool once
        few["proxy"] = proxy.take(slice(0, LITTLE))
    return few
