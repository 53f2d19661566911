"""Multinomial regression on probabilities: on all of an answer, and not only its largest class.

    min over W, b of   (1/n) sum_i CE(y_i, softmax(W v_i + b)) + lambda/2 |W|^2

by L-BFGS in float64, with the lambda that does best on a fifth of the rows, then on all of them.
W is a combination of rows, so that few rows of many features are solved in coordinates of the rows'
own space, where it has n K numbers instead of m K, with the same minimum.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_array
from scipy.special import log_softmax

from clonecost.types import Progress, no_progress

Matrix = NDArray[np.float64]
PENALTIES = (1e-3, 1e-4, 1e-5, 1e-6)  # lambda
HELD_OUT = 5  # one row in five chooses lambda
FEW = 50  # rows below which none is held out
ITERATIONS = 200
SPARSE, SEARCH = 8, 10  # cost of a stored number and of a column, against a product of dense ones


def fit_soft(
    v: csr_array | Matrix, wanted: Matrix, progress: Progress = no_progress
) -> Matrix:  # fmt: skip
    """(1 + m, K): the bias and the weights, for (n, m) features and (n, K) probabilities.

    Example:
        >>> found = fit_soft(np.eye(2), np.array([[0.9, 0.1], [0.2, 0.8]]))
        >>> found.shape
        (3, 2)
    """
    if isinstance(v, csr_array) and len(wanted) ** 2 < SPARSE * v.nnz + SEARCH * v.shape[1]:
        own, back = _row_space(v)
        found = _fit(own, wanted, progress)
        return np.vstack([found[:1], back @ found[1:]])
    return _fit(v, wanted, progress)


def _row_space(v: csr_array) -> tuple[Matrix, Matrix]:
    """(n, r) rows in r orthonormal directions, and (m, r) those directions."""
    values, turn = np.linalg.eigh((v @ v.T).toarray())
    kept = values > 1e-12 * values.max(initial=0)
    length = np.sqrt(values[kept])
    return turn[:, kept] * length, v.T @ (turn[:, kept] / length)


def _fit(v: csr_array | Matrix, wanted: Matrix, progress: Progress) -> Matrix:
    chosen, best, start = PENALTIES[1], np.inf, None
    if len(wanted) >= FEW:
        held = np.arange(len(wanted)) % HELD_OUT == 0
        for step, penalty in enumerate(PENALTIES):
            start = _solved(v[~held], wanted[~held], penalty, start)
            loss = _cross_entropy(v[held], wanted[held], start)
            progress("choosing the penalty", step + 1, len(PENALTIES))
            if loss < best:
                chosen, best = penalty, loss
    return _solved(v, wanted, chosen, None)


def _cross_entropy(v: csr_array | Matrix, wanted: Matrix, solution: Matrix) -> float:
    z = v @ solution[1:] + solution[0]
    return float(-(wanted * log_softmax(z, axis=1)).sum(axis=1).mean())


def _solved(v: csr_array | Matrix, wanted: Matrix, penalty: float, start: Matrix | None) -> Matrix:
    """(1 + m, K): the bias and the weights."""
    shape = 1 + v.shape[1], wanted.shape[1]
    turned = csr_array(v.T) if isinstance(v, csr_array) else v.T

    def loss(flat: Matrix) -> tuple[float, Matrix]:
        w = flat.reshape(shape)
        logs = log_softmax(v @ w[1:] + w[0], axis=1)
        gap = (np.exp(logs) * wanted.sum(axis=1, keepdims=True) - wanted) / len(wanted)
        slope = np.vstack([gap.sum(axis=0)[None], turned @ gap + penalty * w[1:]])
        value = -(wanted * logs).sum() / len(wanted) + penalty / 2 * (w[1:] ** 2).sum()
        return float(value), slope.ravel()

    first = np.zeros(shape) if start is None else start
    found: Any = minimize(
        loss, first.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS}
    )
    return np.asarray(found.x, np.float64).reshape(shape)
