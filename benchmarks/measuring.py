"""How a time is taken, and what is written down about it."""

import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from clonecost.audit.provenance import collect

MILLI = 1e-3


@dataclass(frozen=True)
class Row:
    """One line of a benchmark's table."""

    case: str
    numbers: dict[str, float]  # by name with the unit: "ours ms"
    goal: str = ""  # as printed: "<= 1.15"
    met: bool | None = None  # None: there is no goal, or too little was run to tell


@dataclass(frozen=True)
class Outcome:
    """What one benchmark found."""

    name: str  # of the file in results/
    title: str
    rows: list[Row] = field(default_factory=list)


@dataclass(frozen=True)
class Paired:
    """Two ways of doing one piece of work, run in turns."""

    ours: list[float]  # seconds of each turn
    floor: list[float]

    @property
    def ratio(self) -> float:
        """Median of ours / floor over the turns: what slows a whole turn cancels out."""
        return statistics.median(a / b for a, b in zip(self.ours, self.floor, strict=True))

    def row(self, case: str, goal: float | None = None) -> Row:
        numbers = {
            "ours ms": statistics.median(self.ours) / MILLI,
            "floor ms": statistics.median(self.floor) / MILLI,
            "ratio": self.ratio,
        }
        if goal is None:
            return Row(case, numbers)
        return Row(case, numbers, f"ratio <= {goal:.2f}", self.ratio <= goal)


def percentile(values: list[float], share: int) -> float:
    """Of at least two values; `share` in percent, 1..99."""
    return statistics.quantiles(values, n=100, method="inclusive")[share - 1]


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def in_turns(
    ours: Callable[[], object], floor: Callable[[], object], *, turns: int, warm_up: int = 1
) -> Paired:
    """Time both `turns` times, one directly after the other and each first every other turn.

    A machine that others use changes its speed from second to second; neighbours in time are
    slowed alike, so their ratio says more than two separate averages.
    """
    for _ in range(warm_up):
        ours()
        floor()
    pair = Paired([], [])
    for turn in range(turns):
        if turn % 2:
            pair.floor.append(seconds(floor))
            pair.ours.append(seconds(ours))
        else:
            pair.ours.append(seconds(ours))
            pair.floor.append(seconds(floor))
    return pair


def save(outcome: Outcome, folder: Path, *, command: str) -> Path:
    """Write `folder/<name>.json`: the rows, and who measured them, when and with what."""
    about = collect(
        command=command, seed=0, device="cpu", ledger_head="", ledger_rows=0, resumed=0
    ).model_dump(include={"version", "revision", "created", "command", "device", "threads",
                          "python", "torch", "platform"})  # fmt: skip
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    machine = {
        "cores": os.cpu_count(),
        "load_1_minute": load,
        "torch_threads": torch.get_num_threads(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{outcome.name}.json"
    path.write_text(
        json.dumps({**asdict(outcome), "machine": machine, "provenance": about}, indent=2) + "\n"
    )
    return path
