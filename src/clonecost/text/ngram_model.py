"""A student for texts: hashed words and word pairs, TF-IDF weights, multinomial regression.

`clonecost.text.soft_regression` fits it to the victim's probabilities.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor, nn

from clonecost.data.text_rows import decode
from clonecost.text.soft_regression import fit_soft
from clonecost.types import Progress, no_progress

Matrix = NDArray[np.float64]
BUCKETS = 2**18  # of the hash: 18,000 words and their pairs hardly ever share one
FEW = 50  # rows below which a bucket of one row counts, too


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
    from sklearn.preprocessing import normalize

    return csr_array(normalize(csr_array(counts[:, columns] * scale[None, :])))


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
    solution = fit_soft(v, wanted, progress)
    return NgramModel(
        torch.from_numpy(columns), torch.from_numpy(scale), torch.from_numpy(solution[1:].copy()),
        torch.from_numpy(solution[0].copy()), longest,
    )  # fmt: skip
