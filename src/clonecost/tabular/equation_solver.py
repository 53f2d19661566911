"""Solve for the parameters of a torch module in float64, with SciPy's optimisers."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from clonecost.training.losses import kl

Solver = Literal["bfgs", "l-bfgs-b"]


def cross_entropy(model: nn.Module, rows: Tensor, answers: Tensor, weight: float) -> Tensor:
    """sum_i -sum_k y_ik log p_k(x_i), less the entropy of the answers, + weight/2 |parameters|^2.

    The entropy is constant, so its subtraction moves no minimum; it saves digits, and without the
    penalty 0 is a perfect copy.

    Args:
        model: (n, d) rows -> (n, K) logits.
        rows: (n, d).
        answers: (n, K), rows on the simplex.
        weight: of the penalty.
    """
    penalty = sum((parameter * parameter).sum() for parameter in model.parameters())
    return kl(model(rows), answers.double()).sum() + weight / 2 * penalty


def solve(
    model: nn.Module,
    loss: Callable[[], Tensor],
    *,
    solver: Solver = "l-bfgs-b",
    gradient: float = 1e-6,
    iterations: int = 1_000,
    on_iteration: Callable[[int], None] = lambda done: None,
) -> float:
    """Minimise `loss` over the model's parameters, in place, and return the smallest value found.

    Args:
        model: a module in float64.
        loss: returns a float64 scalar for the model's present parameters.
        solver: BFGS, or L-BFGS-B for many parameters.
        gradient: the search ends when no entry of the gradient exceeds this.
        iterations: the largest number of iterations.
        on_iteration: is called with the number of iterations done, after each.

    Example:
        >>> line = nn.Linear(1, 1, dtype=torch.float64)
        >>> x = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
        >>> solve(line, lambda: (line(x) - 3 * x).square().sum()) < 1e-9
        True
    """
    parameters = list(model.parameters())
    done = 0

    def value(at: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        vector_to_parameters(torch.from_numpy(at.copy()), parameters)
        result = loss()
        gradients = torch.autograd.grad(result, parameters)
        return result.item(), parameters_to_vector(gradients).numpy()

    def count(_: object) -> None:
        nonlocal done
        done += 1
        on_iteration(done)

    options = {"maxiter": iterations, "gtol": gradient}
    if solver == "l-bfgs-b":  # its rule on the loss would end the search too early
        options |= {"ftol": 0.0, "maxfun": 2 * iterations, "maxcor": 30}
    start = parameters_to_vector(parameters).detach().numpy()
    # for such small matrices threads take ten times as long
    with threadpool_limits(1):
        minimum = minimize(
            value, start, jac=True, method=solver.upper(), options=options, callback=count
        )
    vector_to_parameters(torch.from_numpy(np.array(minimum.x)), parameters)
    return float(minimum.fun)
