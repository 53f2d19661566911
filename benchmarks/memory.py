"""Peak memory of a process against its budget: DFME, inputs kept. It should be flat.

Each budget runs in a process of its own, because a peak never falls again.
"""

import os
import subprocess
import sys
from pathlib import Path

import torch

from benchmarks.measuring import Outcome, Row
from benchmarks.stage import LENET, make_kit, make_victim, open_oracle
from clonecost.attacks.dfme import Dfme

GOAL = 1.05  # peak of a budget / peak of the smallest
MEBI = 1024**2


def attack(budget: int, *, batch_size: int = 256) -> float:
    """Run DFME to the end; returns this process's peak resident memory in MiB."""
    with open_oracle(make_victim(LENET), LENET.shape, budget=budget, keep=True) as oracle:
        kit = make_kit(LENET, horizon=budget)
        for _ in Dfme(batch_size=batch_size, generator_width=16).run(oracle, kit):
            pass
    return peak_memory()


def peak_memory() -> float:
    """Of this process, in MiB: the most that was resident at a time."""
    status = Path("/proc/self/status")
    if status.is_file():  # Linux, where ru_maxrss begins at the peak of whoever started us
        (line,) = (s for s in status.read_text().splitlines() if s.startswith("VmHWM"))
        return float(line.split()[1]) / 1024
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEBI  # bytes on macOS


def in_own_process(budget: int) -> float:
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", str(budget)],
        cwd=root, capture_output=True, text=True, check=True, env=dict(os.environ),
    )  # fmt: skip
    return float(done.stdout)


def run(*, quick: bool, toy: bool = False) -> Outcome:
    """`toy` is for a test: the numbers mean nothing."""
    outcome = Outcome("memory", "Peak memory against budget: DFME on LeNet, inputs kept")
    budgets = (4_000, 8_000) if quick else (20_000, 40_000, 80_000)
    peaks = {48: attack(48, batch_size=4)} if toy else {b: in_own_process(b) for b in budgets}
    least = next(iter(peaks.values()))
    for budget, peak in peaks.items():
        numbers = {"peak MiB": peak, "ratio": peak / least}
        outcome.rows.append(
            Row(f"{budget:,} queries", numbers, f"ratio <= {GOAL:.2f}", peak / least <= GOAL)
        )
    return outcome


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(attack(int(sys.argv[1])))
