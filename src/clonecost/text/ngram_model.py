"""A student for texts: hashed words and word pairs, TF-IDF weights, multinomial regression.

It is fitted to the victim's probabilities themselves, not to their largest, by L-BFGS in float64:

    min over W, b of   (1/n) sum_i KL(victim(x_i) || softmax(W v_i + b)) + lambda/2 |W|^2

with the lambda that does best on a fifth of the bought rows, and then on all of them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_array
from scipy.special import log_softmax
from torch import Tensor, nn

from clonecost.data.text_rows import decode
from clonecost.types import Progress, no_progress

Matrix = NDArray[np.float64]
BUCKETS = 2**18  # of the hash: 18,000 words and their pairs hardly ever share one
PENALTIES = (1e-3, 1e-4, 1e-5, 1e-6)  # lambda
HELD_OUT = 5  # one bought row in five chooses lambda
FEW = 50  # rows below which none is held out
ITERATIONS = 200


class NgramModel(nn.Module):
    """(n, bytes) texts -> (n, K) logits, float64.

    Args:
        columns: (m,) the buckets that are used, in order.
        scale: (m,) their weights.
        weight: (m, K).
        bias: (K,).
        longest: words of the longest sequence that is a feature.
    """

    columns: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor
    longest: Tensor

    def __init__(
        self, columns: Tensor, scale: Tensor, weight: Tensor, bias: Tensor, longest: int
    ) -> None:
        super().__init__()
        self.register_buffer("columns", columns)
        self.register_buffer("scale", scale)
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.register_buffer("longest", torch.tensor(longest))

    def forward(self, rows: Tensor) -> Tensor:
        counts = hashed(decode(rows), int(self.longest))
        v = _weighted(counts, self.columns.cpu().numpy(), self.scale.cpu().numpy())
        z = v @ self.weight.cpu().numpy() + self.bias.cpu().numpy()
        return torch.from_numpy(z).to(self.bias.device)


def hashed(texts: Sequence[str], longest: int) -> csr_array:
    """(n, BUCKETS) counts of the words, and of the sequences of up to `longest` words."""
    from sklearn.feature_extraction.text import HashingVectorizer

    vectorizer = HashingVectorizer(
        n_features=BUCKETS, ngram_range=(1, longest), norm=None, alternate_sign=False
    )
    return csr_array(vectorizer.transform(texts))


def _weighted(counts: csr_array, columns: NDArray[np.int64], scale: Matrix) -> csr_array:
    """(n, m) weights of the used buckets, each row of length 1."""
    v = csr_array(counts[:, columns] * scale[None, :])
    size = np.sqrt(np.asarray(v.power(2).sum(axis=1)))
    return csr_array(v * (1 / np.where(size > 0, size, 1.0))[:, None])


def fit_ngrams(
    rows: Tensor, answers: Tensor, longest: int, progress: Progress = no_progress
) -> NgramModel:
    """The model of (n, bytes) texts with (n, K) answers.

    Example:
        >>> model = fit_ngrams(encode(["good", "bad"], 4), torch.eye(2), 1)
        >>> model(as_pixels(encode(["good", "bad"], 4))).argmax(1).tolist()
        [0, 1]
    """
    counts, wanted = hashed(decode(rows), longest), answers.double().cpu().numpy()
    occurs = np.bincount(counts.indices, minlength=BUCKETS)  # rows in which a bucket occurs
    columns = np.flatnonzero(occurs >= (2 if len(wanted) >= FEW else 1))
    scale = 1 + np.log((1 + len(wanted)) / (1 + occurs[columns]))
    v = _weighted(counts, columns, scale)
    held = np.arange(len(wanted)) % HELD_OUT == 0 if len(wanted) >= FEW else None
    chosen, best, start = PENALTIES[1], np.inf, None
    if held is not None:
        for step, penalty in enumerate(PENALTIES):
            start = _solved(v[~held], wanted[~held], penalty, start)
            loss = _cross_entropy(v[held], wanted[held], start)
            progress("choosing the penalty", step + 1, len(PENALTIES))
            if loss < best:
                chosen, best = penalty, loss
    solution = _solved(v, wanted, chosen, None)
    return NgramModel(
        torch.from_numpy(columns), torch.from_numpy(scale), torch.from_numpy(solution[1:].copy()),
        torch.from_numpy(solution[0].copy()), longest,
    )  # fmt: skip


def _cross_entropy(v: csr_array, wanted: Matrix, solution: Matrix) -> float:
    z = v @ solution[1:] + solution[0]
    return float(-(wanted * log_softmax(z, axis=1)).sum(axis=1).mean())


def _solved(v: csr_array, wanted: Matrix, penalty: float, start: Matrix | None) -> Matrix:
    """(1 + m, K): the bias and the weights."""
    shape = 1 + v.shape[1], wanted.shape[1]
    turned = csr_array(v.T)

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
