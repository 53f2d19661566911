"""Train a model of a table with scikit-learn and convert it to a torch module."""

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.nn import functional as F

from clonecost.tabular.features import Extraction
from clonecost.tabular.models import LinearModel, RbfModel, SameAnswer, TanhModel
from clonecost.tabular.trees import TreeSum, tree_sum
from clonecost.types import Feature

Family = Literal["softmax", "mlp", "rbf_svm", "boosted"]
ABSENT = -1e3  # the logit of a class without a training row


def train_student(
    family: Family, features: Sequence[Feature], rows: Tensor, labels: Tensor, num_classes: int, *,
    seed: int, hidden: int = 20, gamma: float = 1.0, penalty: float = 1e4,
) -> nn.Module:  # fmt: skip
    """Train a model of the family; it maps (n, d) rows to (n, K) logits, in float64.

    Args:
        family: softmax regression, a perceptron, a support vector machine, or boosted trees.
        features: the d features of the table.
        rows: (n, d) as sent.
        labels: (n,) int64, the victim's classes.
        num_classes: K; classes without a row get the logit -1000.
        seed: scikit-learn's `random_state`.
        hidden: tanh units of an "mlp".
        gamma: of the kernel of an "rbf_svm", after feature extraction.
        penalty: scikit-learn's C; for an "mlp", 1 / C is its `alpha`.

    Example:
        >>> age = (Feature(name="age", low=0, high=100),)
        >>> rows, labels = torch.tensor([[10.0], [20.0], [80.0]]), torch.tensor([0, 0, 1])
        >>> model = train_student("softmax", age, rows, labels, 2, seed=0)
        >>> model(rows).argmax(1)
        tensor([0, 0, 1])
    """
    seen, index = labels.cpu().unique(return_inverse=True)
    if len(seen) == 1:
        return SameAnswer(F.one_hot(seen[0], num_classes)).to(rows.device)
    y = index.numpy()
    if family == "softmax":
        model: nn.Module = _softmax(features, rows, y, penalty, seed)
    elif family == "mlp":
        model = _mlp(features, rows, y, hidden, penalty, seed)
    elif family == "boosted":
        model = _boosted(features, rows, y, seed)
    else:
        model = _rbf_svm(features, rows, y, gamma, penalty)
    return _SeenClasses(model, seen, num_classes).to(rows.device)


class _SeenClasses(nn.Module):
    """A model of the classes that have training rows, extended to all classes."""

    classes: Tensor

    def __init__(self, model: nn.Module, classes: Tensor, num_classes: int) -> None:
        super().__init__()
        self.model, self.num_classes = model, num_classes
        self.register_buffer("classes", classes)

    def forward(self, rows: Tensor) -> Tensor:
        seen = self.model(rows)
        logits = seen.new_full((len(rows), self.num_classes), ABSENT)
        logits[:, self.classes] = seen
        return logits


def _softmax(
    features: Sequence[Feature], rows: Tensor, y: NDArray[Any], penalty: float, seed: int
) -> nn.Module:
    from sklearn.linear_model import LogisticRegression

    model = LinearModel(features, int(y.max()) + 1)
    estimator = LogisticRegression(C=penalty, max_iter=2_000, random_state=seed)
    _fit(estimator, model.extract(rows.cpu()).numpy(), y)
    _set(model.linear, _both(estimator.coef_), _both(estimator.intercept_))
    return model


def _mlp(
    features: Sequence[Feature], rows: Tensor, y: NDArray[Any], hidden: int, penalty: float,
    seed: int,
) -> nn.Module:  # fmt: skip
    from sklearn.neural_network import MLPClassifier

    model = TanhModel(features, hidden, int(y.max()) + 1)
    estimator = MLPClassifier(
        (hidden,), activation="tanh", solver="lbfgs", alpha=1 / penalty, max_iter=1_000,
        random_state=seed,
    )  # fmt: skip
    _fit(estimator, model.extract(rows.cpu()).numpy(), y)
    (first, second), (bias, out_bias) = estimator.coefs_, estimator.intercepts_
    _set(model.hidden, first.T, bias)
    _set(model.out, _both(second.T), _both(out_bias))
    return model


def _rbf_svm(
    features: Sequence[Feature], rows: Tensor, y: NDArray[Any], gamma: float, penalty: float
) -> nn.Module:
    """One support vector machine for two classes; for more, one per class against all others."""
    from sklearn.svm import SVC

    classes = int(y.max()) + 1
    x = RbfModel(features, 1, classes, gamma=gamma).extract(rows.cpu()).numpy()
    targets = [y == 1] if classes == 2 else [y == k for k in range(classes)]
    svms = [_fit(SVC(kernel="rbf", gamma=gamma, C=penalty), x, target) for target in targets]
    weights = np.zeros((len(svms), sum(len(svm.support_) for svm in svms)))
    start = 0
    for row, svm in enumerate(svms):
        weights[row, start : start + len(svm.support_)] = svm.dual_coef_[0]
        start += len(svm.support_)
    model = RbfModel(features, start, classes, gamma=gamma)
    with torch.no_grad():
        model.representers.copy_(
            torch.from_numpy(np.concatenate([svm.support_vectors_ for svm in svms]))
        )
    _set(model.out, _both(weights), _both(np.concatenate([svm.intercept_ for svm in svms])))
    return model


class BoostedModel(nn.Module):
    """Histogram boosting, fitted to rows after feature extraction."""

    def __init__(self, extract: Extraction, trees: TreeSum) -> None:
        super().__init__()
        self.extract, self.trees = extract, trees

    def forward(self, rows: Tensor) -> Tensor:
        scores = self.trees(self.extract(rows))
        return torch.cat([-scores / 2, scores / 2], 1) if scores.shape[1] == 1 else scores


def _boosted(features: Sequence[Feature], rows: Tensor, y: NDArray[Any], seed: int) -> nn.Module:
    from sklearn.ensemble import HistGradientBoostingClassifier

    extract = Extraction(features)
    least = max(1, min(20, len(y) // 50))  # rows in a leaf: scikit-learn's 20 is for many rows
    estimator = HistGradientBoostingClassifier(
        min_samples_leaf=least, early_stopping=False, random_state=seed
    )
    return BoostedModel(extract, tree_sum([_fit(estimator, extract(rows.cpu()).numpy(), y)]))


def _fit(estimator: Any, x: NDArray[Any], y: NDArray[Any]) -> Any:
    from sklearn.exceptions import ConvergenceWarning

    # one thread: threads slow so small a fit down
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # the audit scores the result
        return estimator.fit(x, y)


def _both(positive: NDArray[Any]) -> NDArray[Any]:
    """Both logits of two classes: scikit-learn gives the second one only, the first is 0."""
    return np.concatenate([np.zeros_like(positive), positive]) if len(positive) == 1 else positive


def _set(layer: nn.Linear, weight: NDArray[Any], bias: NDArray[Any]) -> None:
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
        layer.bias.copy_(torch.from_numpy(np.ascontiguousarray(bias)))
