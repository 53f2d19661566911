"""What do the defences that change probabilities cost the owner: processor time, and top classes?

    OMP_NUM_THREADS=1 python -m experiments.defence_cost [--seed 0]

10,000 answers of ten classes (Dirichlet 0.3), defended once; the least of three times.
"""

import argparse
import time

import numpy as np
import torch

from clonecost.defences import DEFENCES

ROWS, CLASSES = 10_000, 10
SETTINGS: dict[str, dict[str, float]] = {
    "modelguard_w": {}, "dawn": {}, "mad": {}, "noise": {},
    "reverse_sigmoid": {"beta": 0.7, "gamma": 0.2}, "temperature": {},
}  # fmt: skip


def main() -> None:
    """Print one line for each defence."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seed", type=int, default=0)
    seed = options.parse_args().seed
    torch.set_num_threads(1)
    torch.manual_seed(seed)  # fresh noise draws from it, as with a served model
    rng = np.random.default_rng(seed)
    answers = torch.from_numpy(rng.dirichlet(np.full(CLASSES, 0.3), ROWS)).float()
    inputs = torch.from_numpy(rng.random((ROWS, 1, 8, 8), dtype=np.float32))
    for name, settings in SETTINGS.items():
        defended = DEFENCES[name](**settings)(lambda _: answers)
        seconds = []
        for _ in range(3):
            began = time.process_time()
            found = defended(inputs)
            seconds.append(time.process_time() - began)
        flips = float((found.argmax(1) != answers.argmax(1)).double().mean())
        print(f"{name} {min(seconds):.3f} s, {flips:.1%} flipped")


if __name__ == "__main__":
    main()
