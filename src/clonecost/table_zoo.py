"""Victims of tables, trained on scikit-learn's own data in a second or two, every time anew.

They are those that Tramèr et al. (USENIX Security 2016) attack, on the data that can be had without
a download. All of them scale numbers to [-1, 1] by the ranges of their features, which the attacker
knows; trees take them as they are.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

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
from threadpoolctl import threadpool_limits

from clonecost.data.tables import load_table
from clonecost.types import LabelledInputs
from clonecost.victims import LoadedVictim
from clonecost.victims.estimator import sklearn_victim

Matrix = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class TableVictim:
    summary: str
    table: str  # in `clonecost.data.tables`
    make: Callable[[int], Any]  # seed -> an estimator that is not fitted
    scaled: bool = True


class Scale(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Numbers to [-1, 1], by ranges that are given and not learnt."""

    def __init__(self, low: Matrix, high: Matrix) -> None:
        self.low, self.high = low, high

    def fit(self, x: Matrix, y: object = None) -> Self:
        self.n_features_in_ = x.shape[1]
        return self

    def transform(self, x: Matrix) -> Matrix:
        return (x - (self.high + self.low) / 2) / ((self.high - self.low) / 2)


class Representers(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """K_s(x) = exp(-gamma |x - x_s|^2) to `count` training rows, drawn at random."""

    def __init__(self, count: int, gamma: float, seed: int) -> None:
        self.count, self.gamma, self.seed = count, gamma, seed

    def fit(self, x: Matrix, y: object = None) -> Self:
        chosen = np.random.default_rng(self.seed).permutation(len(x))[: self.count]
        self.representers_ = x[chosen]
        return self

    def transform(self, x: Matrix) -> Matrix:
        return np.asarray(rbf_kernel(x, self.representers_, self.gamma))


class CountedTree(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A decision tree whose probabilities are (rows of the class + 1) / (rows of the leaf + K).

    As online services do, it does not say 100 % of a leaf with few rows. Rows weigh at random
    between .9 and 1.1, so that hardly two leaves answer the same: the answer tells the leaf.
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
        tree, leaf = self.tree_.tree_, self.tree_.apply(x)
        rows = tree.weighted_n_node_samples[leaf][:, None]
        share = tree.value[leaf, 0]  # of each class
        return np.asarray((share * rows + 1) / (rows + share.shape[1]))

    def predict(self, x: Matrix) -> NDArray[np.int64]:
        return np.asarray(self.classes_[self.predict_proba(x).argmax(1)])


def _lr(seed: int) -> Any:
    return LogisticRegression(max_iter=2_000, random_state=seed)


def _ovr(seed: int) -> Any:
    return OneVsRestClassifier(_lr(seed))


def _mlp(seed: int) -> Any:
    return MLPClassifier(
        (20,), activation="tanh", alpha=1e-2, solver="lbfgs", max_iter=2_000, random_state=seed
    )


def _klr(seed: int) -> Any:
    return make_pipeline(Representers(20, 0.05, seed), _lr(seed))


def _klr_plane(seed: int) -> Any:
    return make_pipeline(Representers(20, 1.0, seed), _lr(seed))


def _svm(_: int) -> Any:
    return SVC(kernel="rbf", gamma=1.0, C=10.0)


def _tree(leaves: int) -> Callable[[int], Any]:
    return lambda seed: CountedTree(leaves, seed)


def _plain_tree(seed: int) -> Any:
    return DecisionTreeClassifier(random_state=seed)


def _of(kind: str, tables: dict[str, str], make: Callable[[int], Any], what: str, **more: bool) -> (
    dict[str, TableVictim]
):  # fmt: skip
    return {
        f"{short}-{kind}": TableVictim(summary=f"{name}, {what}", table=name, make=make, **more)
        for short, name in tables.items()
    }


_IRIS, _DIGITS = {"iris": "iris"}, {"digits": "digits-flat"}
_CANCER, _MOONS, _CIRCLES = {"cancer": "breast_cancer"}, {"moons": "moons"}, {"circles": "circles"}

TABLE_VICTIMS: dict[str, TableVictim] = {
    **_of("lr", {**_CANCER, "diabetes": "diabetes", **_MOONS}, _lr, "logistic regression"),
    **_of("softmax", {**_IRIS, "wine": "wine", "blobs": "blobs", **_DIGITS}, _lr,
          "softmax regression"),
    **_of("ovr", {**_IRIS, **_DIGITS}, _ovr, "logistic regressions, one against the rest"),
    **_of("mlp", {**_MOONS, **_IRIS, **_DIGITS}, _mlp, "perceptron with 20 tanh units"),
    **_of("klr", {**_CIRCLES}, _klr_plane, "kernel logistic regression, 20 representers"),
    **_of("klr", {**_DIGITS}, _klr, "kernel logistic regression, 20 representers"),
    **_of("svm", {**_MOONS, **_CIRCLES}, _svm, "RBF support vector machine: labels, no more"),
    **_of("tree", {**_IRIS}, _tree(8), "decision tree with an answer for each leaf", scaled=False),
    **_of("tree", {**_CANCER}, _tree(20), "decision tree with an answer for each leaf",
          scaled=False),
    **_of("tree", {**_DIGITS}, _tree(100), "decision tree with an answer for each leaf",
          scaled=False),
    **_of("plain-tree", {**_CANCER, **_DIGITS}, _plain_tree, "decision tree; pure leaves answer alike",
          scaled=False),
}  # fmt: skip


def table_estimator(name: str, *, seed: int = 0) -> Any:
    """The fitted scikit-learn estimator of a victim in `TABLE_VICTIMS`.

    One thread, so that the same seed gives the same bits whatever the machine has.
    """
    recipe = TABLE_VICTIMS[name]
    train = load_table(recipe.table, "train")
    estimator = recipe.make(seed)
    if recipe.scaled:
        features = train.features or ()
        ends = (np.array([getattr(f, end) for f in features]) for end in ("low", "high"))
        estimator = make_pipeline(Scale(*ends), estimator)
    with threadpool_limits(1):
        return estimator.fit(train.inputs.double().numpy(), train.labels.numpy())


def table_victim(name: str, *, seed: int = 0) -> tuple[LoadedVictim, LabelledInputs]:
    """A victim of `TABLE_VICTIMS`, trained now, and the test rows of its table."""
    test = load_table(TABLE_VICTIMS[name].table, "test")
    estimator = table_estimator(name, seed=seed)
    victim = LoadedVictim(
        name=name, answer=sklearn_victim(estimator), input_shape=test.shape,
        num_classes=len(estimator.classes_), weights=_digest(estimator),
    )  # fmt: skip
    return victim, test


def _digest(estimator: Any) -> str:
    """sha256 over the arrays of a fitted estimator."""
    digest = hashlib.sha256()
    for array in _arrays(estimator):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _arrays(part: Any) -> Iterator[NDArray[Any]]:
    if isinstance(part, np.ndarray) and part.dtype != object:
        yield part
    elif isinstance(part, list | tuple):
        for one in part:
            yield from _arrays(one)
    elif hasattr(part, "weighted_n_node_samples"):  # a tree, which has no __dict__
        yield from (part.feature, part.threshold, part.children_left, part.value)
    elif isinstance(part, BaseEstimator):
        for key in sorted(vars(part)):
            yield from _arrays(vars(part)[key])
