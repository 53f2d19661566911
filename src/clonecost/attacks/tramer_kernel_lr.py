"""Tramèr et al.: solves for kernel logistic regression and the training rows in its kernel.

Tramèr, Zhang, Juels, Reiter, Ristenpart, USENIX Security 2016, https://arxiv.org/abs/1609.02943,
§4.1.3. In the space after feature extraction, X = [-1, 1]^d, with r representers x_s, which are
training rows of the victim:

    p = softmax(A K(x) + b),  K_s(x) = exp(-gamma |x - x_s|^2)
    unknowns k = r d + c (r + 1) + 1 (gamma), queries alpha k
    x_1 ... x_m ~ U(X), not adaptive;  at first x_s ~ U(X), A = b = 0
    min over x_s, gamma, A, b of  sum_i CE(victim(x_i), p(x_i)) + lambda/2 |x_s, gamma, A, b|^2

Differs from the paper: see docs/attacks/tramer_kernel_lr.md.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import ClassVar

import torch
from torch import Tensor, nn

from clonecost.attacks._equations import System, solve_equations
from clonecost.attacks.base import AttackerKit, Clone, Declaration, at_least, table_of
from clonecost.oracle import Oracle
from clonecost.tabular.equation_solver import cross_entropy, solve
from clonecost.tabular.features import uniform_rows
from clonecost.tabular.models import RbfModel
from clonecost.types import Feature

SOLVED = 1e-6  # mean cross-entropy error, nats a row, below which a search has succeeded


@dataclass(frozen=True, kw_only=True)
class TramerKernelLr:
    """Solves the equations that probabilities give for a kernel model and its representers.

    Example:
        >>> TramerKernelLr(representers=40, starts=2)
    """

    representers: int = 20  # r, number of representers, guessed
    gamma: float = 1.0  # initial value of the kernel's gamma, an unknown
    alpha: float = 10.0  # queries for each unknown
    # further rows on which the solution is checked; 0: none, and no saturated answer is replaced
    checks: int = 5
    weight: float = 1e-10  # lambda, weight of the penalty
    iterations: int = 3_000  # iterations of one search at most
    # searches at most, each from a new start, until one is within 1e-6 nats a row
    starts: int = 5

    declares: ClassVar = Declaration(
        needs="probs", takes="table", skips_refused=True, by_settings=("rows_per_unknown",)
    )

    def __post_init__(self) -> None:
        at_least(1, self, "representers", "iterations", "starts")
        at_least(1e-6, self, "gamma")
        at_least(0.01, self, "alpha")
        at_least(0, self, "checks")
        at_least(0, self, "weight")

    @property
    def rows_per_unknown(self) -> float:
        return self.alpha

    def plan(self, budget: int) -> str:
        r = self.representers
        return (
            f"queries {self.alpha:g} rows for each unknown, at most {budget:,}: {r} d + "
            f"c ({r} + 1) + 1 unknowns; then solves for them"
        )

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[Clone]:
        features, classes = table_of(oracle.threat), oracle.threat.num_classes
        empty = RbfModel(features, self.representers, classes, gamma=self.gamma)
        unknowns = sum(parameter.numel() for parameter in empty.parameters())
        return solve_equations(oracle, kit, System(
            guess=f"a kernel model with {self.representers} representers",
            instead=(
                "Try more representers; tramer_mlp solves for a neural network, tramer_tree for a "
                "tree"
            ),
            unknowns=unknowns, rows=self.alpha * unknowns, checks=self.checks, rounds=1,
            solve=partial(self._solve, features),
        ))  # fmt: skip

    def _solve(
        self, features: tuple[Feature, ...], kit: AttackerKit, rows: Tensor, answers: Tensor
    ) -> nn.Module:
        """The best of several searches, which end with the first that succeeds."""
        tried: list[tuple[float, nn.Module]] = []
        for start in range(self.starts):
            model = RbfModel(features, self.representers, answers.shape[1], gamma=self.gamma)
            model = model.to(kit.device)
            with torch.no_grad():
                rows_at_start = uniform_rows(features, self.representers, kit.rng)
                model.representers.copy_(model.extract(rows_at_start))
                model.out.weight.zero_()
                model.out.bias.zero_()

            def progress(done: int, before: int = start * self.iterations) -> None:
                total = self.starts * self.iterations
                kit.progress("steps of the solver", before + done, total)

            error = solve(
                model, partial(cross_entropy, model, rows, answers, self.weight),
                iterations=self.iterations, on_iteration=progress,
            )  # fmt: skip
            tried.append((error if math.isfinite(error) else math.inf, model))
            if error < SOLVED * len(rows):
                break
        return min(tried, key=itemgetter(0))[1]
