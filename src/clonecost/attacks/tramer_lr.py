"""Tramèr et al.: solves for logistic regression, binary exactly, else softmax or one-vs-rest.

Tramèr, Zhang, Juels, Reiter, Ristenpart, USENIX Security 2016, https://arxiv.org/abs/1609.02943,
§4.1.1 and §4.1.2. In the space after feature extraction, X = [-1, 1]^d:

    binary   p = s(w x + b), so logit p(x) = w x + b     one linear equation a query, d + 1 of them
    softmax  p_k ~ exp(w_k x + b_k)                      unknowns k = c (d + 1), queries alpha k
    ovr      p_k ~ s(w_k x + b_k)                        the same

    x_1 ... x_m ~ U(X), not adaptive;  min over W, b of
        sum_i CE(victim(x_i), f(x_i; W, b)) + lambda/2 |W, b|^2,   lambda = 1e-16, 1e-15 ... 1e-9:
    the first lambda whose f predicts the victim's class on more than 0.99 of the x_i

Differs from the paper: see docs/attacks/tramer_lr.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from clonecost.attacks._equations import System, solve_equations
from clonecost.attacks.base import AttackerKit, Clone, Declaration, at_least, table_of
from clonecost.oracle import Oracle
from clonecost.tabular.equation_solver import cross_entropy, solve
from clonecost.tabular.log_ratios import linear_by_log_ratios
from clonecost.tabular.models import LinearModel
from clonecost.tabular.sklearn_students import train_student
from clonecost.types import Feature

EXACT = 1e-3  # of a probability: the largest error of a solution of linear equations
ROUNDS = 4  # solutions at most, each from twice the rows of the one before
PENALTIES = tuple(10.0**power for power in range(-16, -8))  # lambda


@dataclass(frozen=True, kw_only=True)
class TramerLr:
    """Solves the equations that probabilities give for the weights of a logistic regression.

    Example:
        >>> TramerLr(model="ovr", alpha=2)
    """

    model: Literal["softmax", "ovr"] = "softmax"  # form of the model for more than two classes
    alpha: float = 1.0  # queries for each unknown
    # further rows on which the solution is checked; 0: none, and no saturated answer is replaced
    checks: int = 5
    gradient: float = 1e-9  # largest entry of the gradient at which the search ends
    # iterations of one search at most; the released code's 100 do not always suffice
    iterations: int = 2_000

    declares: ClassVar = Declaration(
        needs="probs", takes="table", skips_refused=True, by_settings=("rows_per_unknown",)
    )

    def __post_init__(self) -> None:
        at_least(0.01, self, "alpha")
        at_least(0, self, "checks")
        at_least(0, self, "gradient")
        at_least(1, self, "iterations")

    @property
    def rows_per_unknown(self) -> float:
        return self.alpha

    def plan(self, budget: int) -> str:
        return (
            f"queries {self.alpha:g} rows for each unknown, at most {budget:,}: d + 1 unknowns for "
            "two classes, c (d + 1) for c classes; then solves for them"
        )

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[Clone]:
        features, classes = table_of(oracle.threat), oracle.threat.num_classes
        empty = LinearModel(features, classes)
        unknowns = (classes if classes > 2 else 1) * (empty.extract.width + 1)
        return solve_equations(oracle, kit, System(
            guess="a logistic regression of this form",
            instead=(
                "tramer_mlp solves for a neural network, tramer_tree for a tree, tramer_kernel_lr "
                "for a kernel model"
            ),
            unknowns=unknowns, rows=self.alpha * unknowns, checks=self.checks, rounds=ROUNDS,
            solve=partial(self._solve, features),
        ))  # fmt: skip

    def _solve(
        self, features: tuple[Feature, ...], kit: AttackerKit, rows: Tensor, answers: Tensor
    ) -> nn.Module:
        if exact := self._exact(features, rows, answers):
            return exact
        model: nn.Module = LinearModel(features, answers.shape[1], ovr=self.model == "ovr")
        best, model_of_best = -1.0, model
        start = 1e-8 * torch.randn(
            sum(p.numel() for p in model.parameters()), generator=kit.rng, dtype=torch.float64,
            device=kit.rng.device,
        )  # fmt: skip
        for step, weight in enumerate(PENALTIES):
            model = LinearModel(features, answers.shape[1], ovr=self.model == "ovr").to(kit.device)
            nn.utils.vector_to_parameters(start, model.parameters())
            solve(
                model, partial(cross_entropy, model, rows, answers, weight),
                solver="bfgs" if len(start) < 1_000 else "l-bfgs-b",
                gradient=self.gradient, iterations=self.iterations,
            )  # fmt: skip
            kit.progress("solving with each penalty", step + 1, len(PENALTIES))
            agreement = float((model(rows).argmax(1) == answers.argmax(1)).double().mean())
            if agreement > best:
                best, model_of_best = agreement, model
            if agreement > 0.99:
                return model
        if len(answers.argmax(1).unique()) > 1:  # saturated answers: the search can end far away
            seed = int(torch.randint(2**31, (1,), generator=kit.rng, device=kit.rng.device))
            labels = answers.argmax(1)
            model = train_student("softmax", features, rows, labels, answers.shape[1], seed=seed)
            if _errors(model, rows, answers).mean() < _errors(model_of_best, rows, answers).mean():
                return model
        return model_of_best

    @torch.no_grad()
    def _exact(
        self, features: tuple[Feature, ...], rows: Tensor, answers: Tensor
    ) -> nn.Module | None:
        """The solution of the linear equations of log-ratios; None if they have none."""
        two = answers.shape[1] == 2
        if self.model == "ovr" and not two:
            return None
        eps = torch.finfo(answers.dtype).eps
        tried = [
            (above, weighted)
            for weighted in (False, True)
            for above in (eps**0.5, 100 * eps)  # few digits only if there are no others
        ]
        best: tuple[float, nn.Module | None] = EXACT, None
        for above, weighted in tried:
            model = linear_by_log_ratios(features, rows, answers, above=above, weighted=weighted)
            if model is not None:
                error = float(_errors(model, rows, answers).max())
                if error < best[0]:
                    best = error, model
                if error < max(1e-6, 1e3 * eps):
                    return model
        if best[1] is None and two and bool((answers > 0).all()):  # rounded answers, few rows
            return linear_by_log_ratios(
                features, rows, answers, above=0.0, weighted=True, determined=False
            )
        return best[1]


@torch.no_grad()
def _errors(model: nn.Module, rows: Tensor, answers: Tensor) -> Tensor:
    """(n, K) errors of the probabilities in the model's answers."""
    return (model(rows).softmax(1) - answers).abs()


PROFILES = {"ovr": TramerLr(model="ovr")}
