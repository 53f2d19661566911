"""`python -m benchmarks [--quick] [--only NAME]`: print the tables, write benchmarks/results/."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks import (
    defences,
    detectors,
    dfme_iteration,
    digests,
    distillation,
    evolution,
    gpu_iteration,
    knockoff,
    ledger_batch,
    memory,
    serving,
)
from benchmarks.measuring import Outcome, save

RESULTS = Path(__file__).parent / "results"
BENCHMARKS: dict[str, Callable[..., Outcome]] = {
    "ledger_batch": ledger_batch.run,
    "digests": digests.run,
    "distillation": distillation.run,
    "knockoff": knockoff.run,
    "dfme_iteration": dfme_iteration.run,
    "gpu_iteration": gpu_iteration.run,
    "evolution": evolution.run,
    "memory": memory.run,
    "defences": defences.run,
    "serving": serving.run,
    "detectors": detectors.run,
}


def table(outcome: Outcome) -> Table:
    drawn = Table(title=outcome.title, title_justify="left", box=box.SIMPLE)
    drawn.add_column("case")
    for name in outcome.rows[0].numbers:
        drawn.add_column(name, justify="right")
    drawn.add_column("goal")
    drawn.add_column("met")
    for row in outcome.rows:
        met = {True: "yes", False: "no", None: ""}[row.met]
        drawn.add_row(row.case, *(f"{v:.3g}" if v < 100 else f"{v:,.0f}"
                                  for v in row.numbers.values()), row.goal, met)  # fmt: skip
    return drawn


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about a minute, and rough")
    parser.add_argument("--only", choices=BENCHMARKS, action="append", help="repeatable")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the JSON files")
    chosen = parser.parse_args()
    torch.set_num_threads(1)  # as an audit does: threads change sums, and questions with them
    console = Console()
    for name in chosen.only or BENCHMARKS:
        if name == gpu_iteration.NAME and not torch.cuda.is_available():
            console.print(f"{name}: not measured, there is no CUDA device", "")
            continue
        outcome = BENCHMARKS[name](quick=chosen.quick)
        command = "python -m benchmarks " + " ".join(sys.argv[1:])
        save(outcome, chosen.out, command=command.strip())
        console.print(table(outcome), "")


if __name__ == "__main__":
    main()
