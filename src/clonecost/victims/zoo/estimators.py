"""Estimators of the zoo's tables: scikit-learn's, and others that Tramèr et al. attack."""

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from clonecost.errors import Advice, SpecError
from clonecost.types import Feature

Matrix = NDArray[np.float64]
Family = Literal[
    "lr", "ovr", "mlp", "relu", "klr", "svm", "tree", "plain-tree", "forest", "boosted"
]  # fmt: skip


def unfitted(family: Family, features: tuple[Feature, ...], size: float, seed: int) -> Any:
    """An unfitted estimator for these features. It scales numbers itself, except for trees.

    Args:
        features: the columns, with their ranges.
        size: gamma of a "klr", the greatest number of leaves of a "tree"; ignored by the others.

    Raises:
        SpecError: boosted trees, and LightGBM is not installed.
    """
    if family == "tree":
        return SmoothedTree(leaves=round(size), seed=seed)
    if family == "plain-tree":
        return StoppingTree(random_state=seed)
    if family == "forest":
        return RandomForestClassifier(random_state=seed, n_jobs=1)
    if family == "boosted":
        return _boosted(seed)
    low, high = (np.array([getattr(one, end) for one in features]) for end in ("low", "high"))
    regression = LogisticRegression(max_iter=2_000, random_state=seed)
    if family == "lr":
        return make_pipeline(Scale(low, high), regression)
    if family == "ovr":
        return make_pipeline(Scale(low, high), OneVsRestClassifier(regression))
    if family == "klr":
        return make_pipeline(Scale(low, high), Representers(20, size, seed), regression)
    if family == "svm":
        return make_pipeline(Scale(low, high), SVC(kernel="rbf", gamma=1.0, C=10.0))
    if family == "relu":  # scikit-learn's default network, with more steps
        default = MLPClassifier(max_iter=1_000, random_state=seed)
        return make_pipeline(Scale(low, high), default)
    perceptron = MLPClassifier(
        (20,), activation="tanh", alpha=1e-2, solver="lbfgs", max_iter=2_000, random_state=seed
    )
    return make_pipeline(Scale(low, high), perceptron)


def _boosted(seed: int) -> Any:
    try:
        from lightgbm import LGBMClassifier
    except ImportError as error:
        raise SpecError(
            "This victim is trained by LightGBM, which is not installed",
            Advice("install it: pip install 'clonecost[trees]'"),
        ) from error
    return LGBMClassifier(random_state=seed, n_jobs=1, deterministic=True, verbose=-1)


class Scale(TransformerMixin, BaseEstimator):
    """Scales (n, d) numbers to [-1, 1] by given ranges: `low` and `high` are (d,)."""

    def __init__(self, low: Matrix, high: Matrix) -> None:
        self.low, self.high = low, high

    def fit(self, x: Matrix, y: object = None) -> Self:
        self.n_features_in_ = x.shape[1]
        return self

    def transform(self, x: Matrix) -> Matrix:
        return (x - (self.high + self.low) / 2) / ((self.high - self.low) / 2)


class Representers(TransformerMixin, BaseEstimator):
    """K_s(x) = exp(-gamma |x - x_s|^2) to `count` random training rows: (n, d) -> (n, count)."""

    def __init__(self, count: int, gamma: float, seed: int) -> None:
        self.count, self.gamma, self.seed = count, gamma, seed

    def fit(self, x: Matrix, y: object = None) -> Self:
        chosen = np.random.default_rng(self.seed).permutation(len(x))[: self.count]
        self.representers_ = x[chosen]
        return self

    def transform(self, x: Matrix) -> Matrix:
        return np.asarray(rbf_kernel(x, self.representers_, self.gamma))


class StoppingTree(DecisionTreeClassifier):
    """A decision tree that answers a row at the first node whose feature is missing (NaN).

    Online services do so; scikit-learn's tree goes on to the child with more training rows.
    """

    def predict_proba(self, x: Matrix, check_input: bool = True) -> Matrix:
        return np.asarray(self.tree_.value[reached(self.tree_, x), 0])

    def predict(self, x: Matrix, check_input: bool = True) -> NDArray[np.int64]:
        return np.asarray(self.classes_[self.predict_proba(x).argmax(1)])


class SmoothedTree(ClassifierMixin, BaseEstimator):
    """A decision tree whose probabilities are (rows of the class + 1) / (rows of the leaf + K).

    Like online services, it does not answer 100 % at a leaf with few rows, and answers a row at
    the first node whose feature is missing. Training rows have random weights between 0.9 and 1.1,
    so that hardly two nodes have the same answer: the answer identifies the node.
    """

    def __init__(self, leaves: int, seed: int) -> None:
        self.leaves, self.seed = leaves, seed

    def fit(self, x: Matrix, y: NDArray[np.int64]) -> Self:
        weights = np.random.default_rng(self.seed).uniform(0.9, 1.1, len(x))
        self.tree_ = DecisionTreeClassifier(max_leaf_nodes=self.leaves, random_state=self.seed)
        self.tree_.fit(x, y, sample_weight=weights)
        self.classes_ = self.tree_.classes_
        return self

    def predict_proba(self, x: Matrix) -> Matrix:
        tree = self.tree_.tree_
        node = reached(tree, x)
        rows = tree.weighted_n_node_samples[node][:, None]
        share = tree.value[node, 0]  # of each class
        return np.asarray((share * rows + 1) / (rows + share.shape[1]))

    def predict(self, x: Matrix) -> NDArray[np.int64]:
        return np.asarray(self.classes_[self.predict_proba(x).argmax(1)])


def reached(tree: Any, x: Matrix) -> NDArray[np.int64]:
    """The node at which each row ends: a leaf, or the first node whose feature is missing (NaN).

    Args:
        tree: scikit-learn's `tree_`, which compares float32.
        x: (n, d) rows.

    Returns:
        (n,) indices of nodes.
    """
    rows, node = x.astype(np.float32), np.zeros(len(x), dtype=np.int64)
    active = np.arange(len(x))  # the rows that have not ended yet
    while len(active):
        # a leaf's feature is -2, and its value is not used
        value = rows[active, np.maximum(tree.feature[node[active]], 0)]
        goes_on = (tree.children_left[node[active]] >= 0) & ~np.isnan(value)
        active, value = active[goes_on], value[goes_on]
        at = node[active]
        left = value <= tree.threshold[at]
        node[active] = np.where(left, tree.children_left[at], tree.children_right[at])
    return node
