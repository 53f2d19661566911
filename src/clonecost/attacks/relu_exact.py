"""Copies a network of one hidden layer of ReLU units from probabilities, to rounding.

After Jagielski et al., USENIX Security 2020, https://arxiv.org/abs/1909.01838, and Carlini,
Jagielski, Mironov, CRYPTO 2020, https://arxiv.org/abs/2003.04884, with probabilities instead of
logits. Log-ratios of probabilities are linear in pieces: L_k(x) = log p_k - log p_0.

    lines    a line through the box of rows, in numbers scaled to [-1, 1]; every kink on it is one
             unit whose input changes its sign there
    units    the gradients of L on both sides of a kink, by differences, differ by a matrix of rank
             one, a w^T; b = -w x(t*). The sign of w does not matter: relu(-z) = relu(z) - z
    refit    A, M, c of L = A relu(W x + b) + M x + c by least squares over all rows bought; a unit
             that is none gets the weight 0
    repeat   on a line from where the copy is right to a drawn row where it is not, until `quiet`
             draws of 64 rows hold no such row

Differs from the papers: see docs/attacks/relu_exact.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from clonecost.attacks._relu_walk import ReluWalk
from clonecost.attacks.base import AttackerKit, Clone, Declaration, at_least
from clonecost.errors import ChooseFrom, SetKey, SpecError
from clonecost.oracle import Oracle
from clonecost.tabular.features import is_category
from clonecost.types import ThreatModel

INSTEAD = (
    "tramer_mlp solves for a network from coarser answers, threshold_harvest for trees, tramer_lr "
    "for a linear model"
)


@dataclass(frozen=True, kw_only=True)
class ReluExact:
    """Copies one hidden layer of ReLU units exactly from float64 probabilities.

    Example:
        >>> ReluExact(quiet=4)
    """

    places: int = 32  # intervals that a line starts with
    quiet: int = 3  # draws of 64 rows in a row that the copy explains, after which it ends
    difference: float = 1e-3  # of the distance to the next kink: the step of a gradient

    declares: ClassVar = Declaration(needs="probs", takes="table", by_settings=("unfit",))

    def __post_init__(self) -> None:
        at_least(2, self, "places")
        at_least(1, self, "quiet")
        at_least(1e-7, self, "difference")

    def unfit(self, threat: ThreatModel) -> SpecError | None:
        if threat.input_precision != "float64":
            return SpecError(
                "relu_exact takes differences of rows, and float32 has too few digits for them",
                SetKey("input_precision", "float64"), got=threat.input_precision, want="float64",
            )  # fmt: skip
        if threat.features and bool(is_category(threat.features).any()):
            return SpecError(
                "relu_exact moves numbers, and this table has categories", ChooseFrom("attacks")
            )
        return None

    def plan(self, budget: int) -> str:
        return (
            f"queries about 17 + d rows for each hidden unit, at most {budget:,}, and solves for "
            "the network"
        )

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[Clone]:
        yield from ReluWalk(oracle, kit, self.places, self.quiet, self.difference, INSTEAD).run()
