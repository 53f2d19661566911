"""What do the defences cost the owner: processor time, and the utility columns of one data set?

    OMP_NUM_THREADS=1 python -m experiments.defence_cost [--seed 0]

10,000 answers of ten classes (Dirichlet 0.3) with labels drawn from them, so that the undefended
answers are calibrated; defended once, the least of three times.
"""

import argparse
import time

import numpy as np
import torch

from clonecost.config import make_defence
from clonecost.evaluation.utility import utility
from clonecost.result.utility import Change

ROWS, CLASSES = 10_000, 10
DEFENCES = (
    "rounding:decimals=1", "temperature", "noise", "noise:consistent=true",
    "reverse_sigmoid:beta=0.7,gamma=0.2", "modelguard_w", "modelguard_s",
    "modelguard_s:epsilon=0.1", "mad", "mad:keep_top=false", "dawn", "grad2",
    "grad2:surrogate=half-lenet", "grad2:surrogate=half-lenet,keep_top=true",
    "adaptive_misinformation:misinformation=half-lenet", "ensemble:members=half-lenet+half-lenet",
)  # fmt: skip


def main() -> None:
    """Print one line for each defence."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seed", type=int, default=0)
    seed = options.parse_args().seed
    torch.set_num_threads(1)
    torch.manual_seed(seed)  # fresh noise draws from it, as with a served model
    rng = np.random.default_rng(seed)
    answers = torch.from_numpy(rng.dirichlet(np.full(CLASSES, 0.3), ROWS)).float()
    labels = torch.multinomial(answers, 1)[:, 0]
    inputs = torch.from_numpy(rng.random((ROWS, 1, 32, 32), dtype=np.float32))
    for text in DEFENCES:
        seconds = []
        for _ in range(3):
            defended = make_defence(text)(lambda _: answers)  # anew: one may remember
            began = time.process_time()
            found = defended(inputs)
            seconds.append(time.process_time() - began)
        cost = utility(answers, found, labels)
        print(f"{text}: {min(seconds):.3f} s, {cost.flips.value:.1%} flipped, L1 {cost.l1_mean:.2f}"
              f" (at most {cost.l1_max:.2f}), NLL {_words(cost.nll)}, ECE {_words(cost.ece)}, "
              f"AUROC of errors {_words(cost.auroc_errors)}")  # fmt: skip


def _words(change: Change | None) -> str:
    return "not known" if change is None else f"{change.before:.3f} -> {change.after:.3f}"


if __name__ == "__main__":
    main()
