"""A grid of defences as data, for tests that need no run."""

from clonecost.result.defence_grid import (
    Attacker,
    DefenceGrid,
    DefenceRow,
    Difference,
)
from clonecost.result.rates import Measured, Rate
from clonecost.result.utility import Change, RateChange, Utility


def measured(value: float, half: float = 0.02) -> Measured:
    return Measured(value=value, low=value - half, high=value + half)


def utility(flips: float = 0.0, l1: float = 0.0) -> Utility:
    accuracy = RateChange(before=rate(0.9), after=rate(0.9 - flips))
    return Utility(
        rows=1_000, flips=rate(flips), l1_mean=l1, l1_max=min(2.0, 2 * l1), accuracy=accuracy,
        nll=Change(before=0.3, after=0.3 + l1), ece=Change(before=0.05, after=0.05 + l1 / 10),
        auroc_errors=Change(before=0.9, after=0.9 - l1 / 10),
    )  # fmt: skip


def rate(value: float) -> Rate:
    return Rate(value=value, low=max(0.0, value - 0.01), high=min(1.0, value + 0.01))


def attacker(counter: str, agreement: float, folder: str) -> Attacker:
    return Attacker(
        counter=counter, why="it is one of those who know this defence", seeds=[0, 1],
        runs=[f"{folder}/{counter}-{seed}" for seed in (0, 1)], agreement=measured(agreement),
        corrected_agreement=measured(agreement - 0.1), learnt=True,
    )  # fmt: skip


def difference(value: float, half: float = 0.02) -> Difference:
    return Difference(
        value=value, low=value - half, high=value + half, how="difference of intervals"
    )


def defence_grid() -> DefenceGrid:
    """No defence, labels, one defence that is no better than labels, and one that is."""
    rows = [
        DefenceRow(
            defence="none", utility=utility(), attackers=[attacker("naive", 0.8, "none")],
            worst="naive", gain_over_label=difference(-0.1), gain_over_none=None, pareto=True,
        ),
        DefenceRow(
            defence="label", utility=utility(l1=0.5), attackers=[attacker("naive", 0.7, "label")],
            worst="naive", gain_over_label=None, gain_over_none=difference(0.1), pareto=False,
        ),
        DefenceRow(
            defence="reverse_sigmoid:beta=0.7", utility=utility(flips=0.002, l1=1.0),
            attackers=[attacker("naive", 0.5, "reverse"), attacker("label_only", 0.7, "reverse")],
            worst="label_only", gain_over_label=difference(0.0), gain_over_none=difference(0.1),
            pareto=False,
        ),
        DefenceRow(
            defence="dawn:rate=0.1", utility=utility(flips=0.1, l1=0.2), random=False,
            attackers=[attacker("naive", 0.6, "dawn"), attacker("jitter", 0.62, "dawn")],
            worst="jitter", gain_over_label=difference(0.08), gain_over_none=difference(0.18),
            pareto=True,
        ),
    ]  # fmt: skip
    return DefenceGrid(
        victim="digits-lenet", attack="knockoff", queries=1_000, seeds=[0, 1], test_rows=1_000,
        majority_agreement=0.1, rows=rows,
    )  # fmt: skip
