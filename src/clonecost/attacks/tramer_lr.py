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

import scipy.linalg
import torch
from torch import Tensor, nn

from clonecost.attacks._stages import solve_from_uniform_rows
from clonecost.attacks.base import AttackerKit, Clone, Declaration, at_least, table_of
from clonecost.oracle import Oracle
from clonecost.tabular.equation_solver import cross_entropy, solve
from clonecost.tabular.models import LinearModel
from clonecost.types import Feature

PENALTIES = tuple(10.0**power for power in range(-16, -8))  # lambda


@dataclass(frozen=True, kw_only=True)
class TramerLr:
    """Solves the equations that probabilities give for the weights of a logistic regression.

    Example:
        >>> TramerLr(model="ovr", alpha=2)
    """

    model: Literal["softmax", "ovr"] = "softmax"  # form of the model for more than two classes
    alpha: float = 1.0  # queries for each unknown
    gradient: float = 1e-9  # largest entry of the gradient at which the search ends
    # iterations of one search at most; the released code's 100 do not always suffice
    iterations: int = 2_000

    declares: ClassVar = Declaration(
        needs="probs", takes="table", by_settings=("rows_per_unknown",)
    )

    def __post_init__(self) -> None:
        at_least(0.01, self, "alpha")
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
        return solve_from_uniform_rows(
            oracle, kit, self.alpha * unknowns, partial(self._solve, features)
        )

    def _solve(
        self, features: tuple[Feature, ...], kit: AttackerKit, rows: Tensor, answers: Tensor
    ) -> nn.Module:
        model = LinearModel(features, answers.shape[1], ovr=self.model == "ovr")
        if answers.shape[1] == 2 and bool((answers > 0).all()):
            return _exact(LinearModel(features, 2), rows, answers)
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
                break
        return model_of_best


@torch.no_grad()
def _exact(model: LinearModel, rows: Tensor, answers: Tensor) -> nn.Module:
    """Solve logit p = w x + b by least squares, weighted by p (1 - p) if overdetermined."""
    x = model.extract(rows.cpu())
    p = answers.double().cpu()
    a, y = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], 1), p[:, 1].log() - p[:, 0].log()
    # an error in p changes its logit by 1 / (p (1 - p)) times as much
    weight = p.prod(1, keepdim=True) if len(x) > a.shape[1] else torch.ones(len(x), 1).double()
    theta = torch.from_numpy(
        scipy.linalg.lstsq((weight * a).numpy(), (weight[:, 0] * y).numpy())[0]
    )
    model.linear.weight.zero_()[1] = theta[:-1]
    model.linear.bias.zero_()[1] = theta[-1]
    return model.to(rows.device)


PROFILES = {"ovr": TramerLr(model="ovr")}
