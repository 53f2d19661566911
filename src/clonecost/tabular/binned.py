"""A model of a table that is constant in the bins of its features, and its fit to bought rows.

Boosted trees and forests change at thresholds only. Where those are known, a row is the list of its
bins, and the answer is a function of them:

    score(x) = base + sum_j a_j[bin_j(x)] + trees(bins(x))

The first sum is all of a model of stumps, so that its copy is exact. The trees fit the rest by
squares, or all of it by cross-entropy, which weighs rows near a boundary most.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import lsmr
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from clonecost.tabular.features import is_category
from clonecost.tabular.trees import TreeSum, tree_sum
from clonecost.types import Feature

Scale = Literal["log-odds", "probability"]
Loss = Literal["squares", "cross-entropy"]
FEWEST = 20  # rows from which anything but the mean is fitted
LEAST = 1e-12  # of a probability in a logarithm
RARE = 1e-3  # of a probability: what says less counts for no class, but in one row
MOST_BINS = 255  # of a feature, in scikit-learn's boosting


class Bins(nn.Module):
    """(n, d) rows -> (n, d) int64: the bin of a number, the category, or the last for missing.

    Args:
        features: the d features of the table.
        edges: the d sorted (e,) float64 thresholds of each feature; none for a category.

    Example:
        >>> bins = Bins((Feature(name="age", low=0, high=100),), [torch.tensor([18.0])])
        >>> bins(torch.tensor([[3.0], [18.0], [60.0], [torch.nan]])).flatten()
        tensor([0, 0, 1, 2])
    """

    edges: Tensor  # (d, E) float64, infinite beyond a feature's last one
    counts: Tensor  # (d,) bins or categories of each feature
    category: Tensor
    source: Tensor  # (w,) the feature of each column of `columns`
    place: Tensor  # (w,) the category of each column; -1 for a number

    def __init__(self, features: Sequence[Feature], edges: Sequence[Tensor]) -> None:
        super().__init__()
        most = max([len(one) for one in edges], default=0)
        padded = torch.full((len(features), max(1, most)), torch.inf, dtype=torch.float64)
        for row, one in zip(padded, edges, strict=True):
            row[: len(one)] = one
        category = is_category(features)
        counts = [
            len(feature.categories) or len(one) + 1
            for feature, one in zip(features, edges, strict=True)
        ]
        self.register_buffer("edges", padded)
        self.register_buffer("category", category)
        self.register_buffer("counts", torch.tensor(counts))
        columns = [
            (k, place)
            for k, feature in enumerate(features)
            for place in (range(len(feature.categories)) if feature.categories else (-1,))
        ]
        source, place = torch.tensor(columns).unbind(1)
        self.register_buffer("source", source)
        self.register_buffer("place", place)

    def forward(self, rows: Tensor) -> Tensor:
        values = rows.double()
        missing = values.isnan()
        values = torch.where(missing, 0.0, values)
        found = torch.searchsorted(self.edges, values.T.contiguous()).T
        codes = torch.where(self.category, values.long(), found)
        return torch.where(missing, self.counts, codes)

    def columns(self, codes: Tensor) -> Tensor:
        """(n, d) bins -> (n, w) float64 for trees: numbers as bins, categories one-hot."""
        of_column = codes[:, self.source]
        value = torch.where(self.place < 0, of_column, of_column == self.place).double()
        return torch.where(of_column == self.counts[self.source], torch.nan, value)


class BinnedModel(nn.Module):
    """(n, d) rows -> (n, K) logits: additive in the bins, and trees of the bins.

    Args:
        bins: of the rows.
        additive: (sum of counts + 1, O) what each bin of each feature adds to each output.
        trees: of the bins' columns, to O outputs; None: there are none.
        mix: (O, K), from outputs to classes.
        scale: of the K scores, which are logits or probabilities.
    """

    additive: Tensor
    mix: Tensor
    start: Tensor

    def __init__(
        self, bins: Bins, additive: Tensor, trees: TreeSum | None, mix: Tensor, scale: Scale
    ) -> None:
        super().__init__()
        self.bins, self.trees, self.scale = bins, trees, scale
        self.register_buffer("additive", additive)
        self.register_buffer("mix", mix)
        self.register_buffer("start", _starts(bins))

    def outputs(self, codes: Tensor) -> Tensor:
        """(n, d) bins -> (n, O)."""
        total = self.additive[codes + self.start].sum(1)
        return total if self.trees is None else total + self.trees(self.bins.columns(codes))

    def forward(self, rows: Tensor) -> Tensor:
        return torch.cat([self._logits(part) for part in rows.split(4_096)])

    def _logits(self, rows: Tensor) -> Tensor:
        scores = self.outputs(self.bins(rows)) @ self.mix
        if self.scale == "log-odds":
            return scores
        if len(self.mix) == 1:  # of two classes, the probability of the second
            scores = scores + torch.tensor([1.0, 0.0], dtype=scores.dtype, device=scores.device)
        return scores.clamp_min(LEAST).log()


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How trees are fitted: to what the additive part leaves over, or to all of the answers."""

    loss: Loss = "squares"
    iterations: int = 500
    rate: float = 0.1
    leaves: int = 8
    least: int = 3  # rows in a leaf


def fit_binned(
    features: Sequence[Feature], edges: Sequence[Tensor], rows: Tensor, answers: Tensor, *,
    seed: int, fit: Fit | None = None, scale: Scale = "log-odds",
) -> BinnedModel:  # fmt: skip
    """Fit a binned model to rows and their answers.

    Args:
        features: the d features of the table.
        edges: the d sorted thresholds.
        rows: (n, d) as sent.
        answers: (n, K) probabilities.
        seed: of the trees.
        fit: of the trees; None: additive only, which is exact for stumps.
        scale: on which the victim is a sum: log-odds for boosting, probability for a forest. By
            cross-entropy the model is always a sum of log-odds.
    """
    bins = Bins(features, edges)
    codes = bins(rows.cpu())
    if fit is not None and fit.loss == "cross-entropy":
        y, mix = targets(answers.cpu(), "log-odds")
        none = y.new_zeros(int((bins.counts + 1).sum()), y.shape[1])
        trees = _classes(bins.columns(codes).numpy(), answers.cpu().double().numpy(), fit, seed)
        return BinnedModel(bins, none, trees, mix, "log-odds").to(rows.device)
    y, mix = targets(answers.cpu(), scale)
    additive = _least_squares(bins, codes, y)
    left = y - additive[codes + _starts(bins)].sum(1)
    boosted = None
    if fit is not None and len(rows) >= FEWEST and float(left.abs().max()) > 1e-9:
        boosted = _boosted(bins.columns(codes).numpy(), left.numpy(), fit, seed)
    return BinnedModel(bins, additive, boosted, mix, scale).to(rows.device)


def targets(answers: Tensor, scale: Scale) -> tuple[Tensor, Tensor]:
    """(n, K) probabilities -> (n, O) outputs in float64, and (O, K) from outputs to classes.

    Two classes have one output. Log-odds of more are centred, so that each class's own score
    stands out.
    """
    p = answers.double()
    classes = p.shape[1]
    if scale == "probability":
        if classes == 2:
            return p[:, 1:], torch.tensor([[-1.0, 1.0]], dtype=torch.float64)
        return p, torch.eye(classes, dtype=torch.float64)
    logs = p.clamp_min(LEAST).log()
    if classes == 2:
        return logs[:, 1:] - logs[:, :1], torch.tensor([[-0.5, 0.5]], dtype=torch.float64)
    return logs - logs.mean(1, keepdim=True), torch.eye(classes, dtype=torch.float64)


def _starts(bins: Bins) -> Tensor:
    """(d,) the first row of each feature in the additive part; one row more is for missing."""
    widths = bins.counts + 1
    return torch.cat([widths.new_zeros(1), widths.cumsum(0)[:-1]])


def _least_squares(bins: Bins, codes: Tensor, y: Tensor) -> Tensor:
    """(sum of counts + 1, O): the additive part, of the least norm."""
    places = (codes + _starts(bins)).numpy()
    n, d = places.shape
    total = int((bins.counts + 1).sum())
    pointer = np.arange(0, n * d + 1, d)
    matrix = csr_matrix((np.ones(n * d), places.reshape(-1), pointer), shape=(n, total))
    # few rows determine few bins: their coefficients are held down
    damp = 1e-9 if n > 3 * total else 0.3
    found = [
        lsmr(matrix, column, damp=damp, atol=1e-14, btol=1e-14, conlim=0, maxiter=1_000)[0]
        for column in y.numpy().T
    ]
    return torch.from_numpy(np.stack(found, 1))


def _boosted(x: NDArray[Any], y: NDArray[Any], fit: Fit, seed: int) -> TreeSum:
    from sklearn.ensemble import HistGradientBoostingRegressor

    models = []
    with threadpool_limits(1):
        for k in range(y.shape[1]):
            model = HistGradientBoostingRegressor(
                learning_rate=fit.rate, max_iter=fit.iterations, max_leaf_nodes=fit.leaves,
                min_samples_leaf=fit.least, max_bins=MOST_BINS, early_stopping=False,
                random_state=seed,
            )  # fmt: skip
            models.append(model.fit(x, y[:, k]))
    return tree_sum(models)


def _classes(x: NDArray[Any], answers: NDArray[Any], fit: Fit, seed: int) -> TreeSum:
    """Boosting on each row once for each class, with the class's probability as weight."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    kept = answers > RARE
    kept[answers.argmax(0), np.arange(answers.shape[1])] = True
    row, label = kept.nonzero()
    model = HistGradientBoostingClassifier(
        learning_rate=fit.rate, max_iter=fit.iterations, max_leaf_nodes=fit.leaves,
        min_samples_leaf=fit.least, max_bins=MOST_BINS, early_stopping=False, random_state=seed,
    )  # fmt: skip
    with threadpool_limits(1):
        weight = answers[row, label].clip(1e-9)
        return tree_sum([model.fit(x[row], label, sample_weight=weight)])
