"""How often does the interval of chance-corrected agreement hold the truth?

    python -m experiments.interval_coverage [--seed 0]

Clones whose agreement in the victim's most frequent class and in the others is known are scored on
simulated test sets. "Held": every test set has the same number of rows of the most frequent class.
"Drawn": this number is drawn anew, and the truth is that of the population. Prints the table of
docs/decisions/chance_corrected_agreement.md.
"""

import argparse
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clonecost.evaluation.chance import corrected
from clonecost.result import Rate

ROWS, SETS = 1_000, 20_000
RATES = [Rate.of(hits, ROWS) for hits in range(ROWS + 1)]


@dataclass(frozen=True, kw_only=True)
class Clone:
    others: float  # share of the rows outside the victim's most frequent class
    frequent: float  # agreement on the most frequent class
    rare: float  # agreement on the others

    @property
    def truth(self) -> float:
        agreement = (1 - self.others) * self.frequent + self.others * self.rare
        return (agreement - (1 - self.others)) / self.others


CLONES = (
    Clone(others=0.03, frequent=0.99, rare=0.5),
    Clone(others=0.03, frequent=0.985, rare=0.5),
    Clone(others=0.03, frequent=0.969, rare=1.0),
    Clone(others=0.5, frequent=0.99, rare=0.5),
    Clone(others=0.9, frequent=0.97, rare=0.97),
)


def coverage(clone: Clone, others: NDArray[np.int64], rng: np.random.Generator) -> float:
    """Share of test sets whose interval holds the truth; (n,) rows of the other classes in each."""
    hits = rng.binomial(ROWS - others, clone.frequent) + rng.binomial(others, clone.rare)
    held = 0
    for agreed, count in zip(hits.tolist(), others.tolist(), strict=True):
        interval = corrected(RATES[agreed], 1 - count / ROWS)
        held += interval.low <= clone.truth <= interval.high
    return held / len(others)


def main() -> None:
    """Print one line for each clone."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seed", type=int, default=0)
    rng = np.random.default_rng(options.parse_args().seed)
    for clone in CLONES:
        same = np.full(SETS, round(ROWS * clone.others))
        drawn = rng.binomial(ROWS, clone.others, SETS)
        print(
            f"| {ROWS:,}, {clone.others:.0%} | {clone.frequent:.1%}, {clone.rare:.0%} "
            f"| {clone.truth:z.2f} | {coverage(clone, same, rng):.1%} "
            f"| {coverage(clone, drawn, rng):.1%} |"
        )


if __name__ == "__main__":
    main()
