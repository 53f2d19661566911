"""The estimators behind the zoo's tables: scikit-learn's, and what Tramèr et al. attack besides."""

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from clonecost.types import Feature

Matrix = NDArray[np.float64]
Family = Literal["lr", "ovr", "mlp", "klr", "svm", "tree", "plain-tree"]


def unfitted(family: Family, features: tuple[Feature, ...], size: float, seed: int) -> Any:
    """An estimator that is not fitted. It scales numbers itself, except for a tree.

    Args:
        size: gamma of a "klr", the greatest number of leaves of a "tree"; else it says nothing.
    """
    if family == "tree":
        return CountedTree(leaves=round(size), seed=seed)
    if family == "plain-tree":
        return StoppingTree(random_state=seed)
    ends = (np.array([getattr(feature, end) for feature in features]) for end in ("low", "high"))
    regression = LogisticRegression(max_iter=2_000, random_state=seed)
    if family == "lr":
        return make_pipeline(Scale(*ends), regression)
    if family == "ovr":
        return make_pipeline(Scale(*ends), OneVsRestClassifier(regression))
    if family == "klr":
        return make_pipeline(Scale(*ends), Representers(20, size, seed), regression)
    if family == "svm":
        return make_pipeline(Scale(*ends), SVC(kernel="rbf", gamma=1.0, C=10.0))
    units = MLPClassifier(
        (20,), activation="tanh", alpha=1e-2, solver="lbfgs", max_iter=2_000, random_state=seed
    )
    return make_pipeline(Scale(*ends), units)


class Scale(TransformerMixin, BaseEstimator):
    """Numbers to [-1, 1], by ranges that are given and not learnt."""

    def __init__(self, low: Matrix, high: Matrix) -> None:
        self.low, self.high = low, high

    def fit(self, x: Matrix, y: object = None) -> Self:
        self.n_features_in_ = x.shape[1]
        return self

    def transform(self, x: Matrix) -> Matrix:
        return (x - (self.high + self.low) / 2) / ((self.high - self.low) / 2)


class Representers(TransformerMixin, BaseEstimator):
    """K_s(x) = exp(-gamma |x - x_s|^2) to `count` training rows, drawn at random."""

    def __init__(self, count: int, gamma: float, seed: int) -> None:
        self.count, self.gamma, self.seed = count, gamma, seed

    def fit(self, x: Matrix, y: object = None) -> Self:
        chosen = np.random.default_rng(self.seed).permutation(len(x))[: self.count]
        self.representers_ = x[chosen]
        return self

    def transform(self, x: Matrix) -> Matrix:
        return np.asarray(rbf_kernel(x, self.representers_, self.gamma))


class StoppingTree(DecisionTreeClassifier):
    """A decision tree that answers a row with missing values (NaN) at the node that wants one.

    As online services do; scikit-learn's own goes on to the child with more training rows.
    """

    def predict_proba(self, x: Matrix, check_input: bool = True) -> Matrix:
        return np.asarray(self.tree_.value[reached(self.tree_, x), 0])

    def predict(self, x: Matrix, check_input: bool = True) -> NDArray[np.int64]:
        return np.asarray(self.classes_[self.predict_proba(x).argmax(1)])


class CountedTree(ClassifierMixin, BaseEstimator):
    """A decision tree whose probabilities are (rows of the class + 1) / (rows of the leaf + K).

    As online services do, it does not say 100 % of a leaf with few rows, and answers a row with
    missing values at the node that wants one. Rows weigh at random between .9 and 1.1, so that
    hardly two nodes answer the same: the answer tells the node.
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
    """(n, d) rows -> (n,) the leaf of each, or the node that wants a value that is missing (NaN).

    Args:
        tree: scikit-learn's `tree_`, which compares float32.
    """
    rows, node = x.astype(np.float32), np.zeros(len(x), dtype=np.int64)
    at = np.arange(len(x))  # the rows that still walk
    while len(at):
        value = rows[at, np.maximum(tree.feature[node[at]], 0)]  # a leaf's is -2, and ignored
        walks = (tree.children_left[node[at]] >= 0) & ~np.isnan(value)
        at, value = at[walks], value[walks]
        left = value <= tree.threshold[node[at]]
        node[at] = np.where(left, tree.children_left[node[at]], tree.children_right[node[at]])
    return node
