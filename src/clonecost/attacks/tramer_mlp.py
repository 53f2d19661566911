"""Tramèr et al.: solves for a perceptron with one hidden layer of tanh units.

Tramèr, Zhang, Juels, Reiter, Ristenpart, USENIX Security 2016, https://arxiv.org/abs/1609.02943,
§4.1.2. In the space after feature extraction, X = [-1, 1]^d, with h hidden units:

    p = softmax(V tanh(W x + b) + c)          unknowns k = h (d + 1) + c (h + 1), queries alpha k
    x_1 ... x_m ~ U(X), not adaptive
    W ~ U(-g, g), g = sqrt(6 / (d + h)), from a seed of the attacker's own;  V = 0
    min over W, b, V, c of  sum_i CE(victim(x_i), p(x_i)) + lambda/2 |W, b, V, c|^2

Differs from the paper: see docs/attacks/tramer_mlp.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from torch import Tensor, nn

from clonecost.attacks._equations import System, solve_equations
from clonecost.attacks.base import AttackerKit, Clone, Declaration, at_least, table_of
from clonecost.oracle import Oracle
from clonecost.tabular.equation_solver import cross_entropy, solve
from clonecost.tabular.models import TanhModel
from clonecost.types import Feature


@dataclass(frozen=True, kw_only=True)
class TramerMlp:
    """Solves the equations that probabilities give for the weights of a small perceptron.

    Example:
        >>> TramerMlp(hidden=10, alpha=10)
    """

    hidden: int = 20  # h, number of hidden units, guessed
    alpha: float = 5.0  # queries for each unknown
    # further rows on which the solution is checked; 0: none, and no saturated answer is replaced
    checks: int = 5
    weight: float = 1e-8  # lambda, weight of the penalty
    iterations: int = 3_000  # iterations of the search at most

    declares: ClassVar = Declaration(
        needs="probs", takes="table", skips_refused=True, by_settings=("rows_per_unknown",)
    )

    def __post_init__(self) -> None:
        at_least(1, self, "hidden", "iterations")
        at_least(0.01, self, "alpha")
        at_least(0, self, "checks")
        at_least(0, self, "weight")

    @property
    def rows_per_unknown(self) -> float:
        return self.alpha

    def plan(self, budget: int) -> str:
        return (
            f"queries {self.alpha:g} rows for each unknown, at most {budget:,}: "
            f"{self.hidden} (d + 1) + c ({self.hidden} + 1) unknowns; then solves for them"
        )

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[Clone]:
        features, classes = table_of(oracle.threat), oracle.threat.num_classes
        empty = TanhModel(features, self.hidden, classes)
        unknowns = sum(parameter.numel() for parameter in empty.parameters())
        return solve_equations(oracle, kit, System(
            guess=f"a perceptron with {self.hidden} tanh units",
            instead=(
                "Try more hidden units; tramer_tree solves for a tree, tramer_adaptive_retrain "
                "trains on labels alone"
            ),
            unknowns=unknowns, rows=self.alpha * unknowns, checks=self.checks, rounds=1,
            solve=partial(self._solve, features),
        ))  # fmt: skip

    def _solve(
        self, features: tuple[Feature, ...], kit: AttackerKit, rows: Tensor, answers: Tensor
    ) -> nn.Module:
        model = self.start(features, answers.shape[1], kit)
        solve(
            model, lambda: cross_entropy(model, rows, answers, self.weight),
            iterations=self.iterations,
            on_iteration=lambda done: kit.progress("steps of the solver", done, self.iterations),
        )  # fmt: skip
        return model

    def start(self, features: tuple[Feature, ...], classes: int, kit: AttackerKit) -> TanhModel:
        """The initial model: Glorot's weights from `kit.rng`, an output layer of zeros."""

        def build() -> nn.Module:
            model = TanhModel(features, self.hidden, classes)
            nn.init.xavier_uniform_(model.hidden.weight)
            for zero in (model.hidden.bias, model.out.weight, model.out.bias):
                nn.init.zeros_(zero)
            return model

        model = kit.initialised(build)
        assert isinstance(model, TanhModel)
        return model
