"""Solve for the parameters of a model with SciPy, the model being a torch module in float64."""

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

    Taking off the constant entropy moves no minimum, and leaves its digits to what is left: 0 is
    a perfect copy.
    """
    size = sum((parameter * parameter).sum() for parameter in model.parameters())
    return kl(model(rows), answers.double()).sum() + weight / 2 * size


def solve(
    model: nn.Module,
    loss: Callable[[], Tensor],
    *,
    solver: Solver = "l-bfgs-b",
    gradient: float = 1e-6,
    iterations: int = 1_000,
    told: Callable[[int], None] = lambda done: None,
) -> float:
    """Minimise `loss` over the model's parameters, in place; returns the least value found.

    Args:
        loss: of the parameters as they stand, a float64 scalar.
        gradient: the search ends when no entry of the gradient exceeds this.
        told: of each iteration, its number.
    """
    parameters = list(model.parameters())
    done = 0

    def value(at: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        vector_to_parameters(torch.from_numpy(at.copy()), parameters)
        found = loss()
        gradients = torch.autograd.grad(found, parameters)
        return found.item(), parameters_to_vector(gradients).numpy()

    def count(_: object) -> None:
        nonlocal done
        done += 1
        told(done)

    options = {"maxiter": iterations, "gtol": gradient}
    if solver == "l-bfgs-b":  # its other rule would end the search on the last digits of the loss
        options |= {"ftol": 0.0, "maxfun": 2 * iterations, "maxcor": 30}
    start = parameters_to_vector(parameters).detach().numpy()
    # such matrices are small: threads would wait for each other ten times as long as they compute
    with threadpool_limits(1):
        found = minimize(
            value, start, jac=True, method=solver.upper(), options=options, callback=count
        )
    vector_to_parameters(torch.from_numpy(np.array(found.x)), parameters)
    return float(found.fun)
