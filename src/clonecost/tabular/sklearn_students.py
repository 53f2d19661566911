"""Train a model of a table with scikit-learn, and hand it over as a torch module."""

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.nn import functional as F

from clonecost.tabular.models import LinearModel, RbfModel, SameAnswer, TanhModel
from clonecost.types import Feature

Family = Literal["softmax", "mlp", "rbf_svm"]
NEVER = -1e3  # the logit of a class that no row was labelled with


def trained(
    family: Family, features: Sequence[Feature], rows: Tensor, labels: Tensor, num_classes: int, *,
    seed: int, hidden: int = 20, gamma: float = 1.0, penalty: float = 1e4,
) -> nn.Module:  # fmt: skip
    """(n, d) rows as sent and their (n,) labels -> a model of the family: rows -> (n, K) logits.

    Args:
        hidden: tanh units of an "mlp".
        gamma: of the kernel of an "rbf_svm", after feature extraction.
        penalty: scikit-learn's C; of an "mlp", 1 / C is its `alpha`.
    """
    seen, place = labels.cpu().unique(return_inverse=True)
    if len(seen) == 1:
        return SameAnswer(F.one_hot(seen[0], num_classes)).to(rows.device)
    y = place.numpy()
    if family == "softmax":
        model: nn.Module = _softmax(features, rows, y, penalty, seed)
    elif family == "mlp":
        model = _mlp(features, rows, y, hidden, penalty, seed)
    else:
        model = _rbf_svm(features, rows, y, gamma, penalty)
    return _Seen(model, seen, num_classes).to(rows.device)


class _Seen(nn.Module):
    """A model of the classes that were seen, among all classes."""

    classes: Tensor

    def __init__(self, model: nn.Module, classes: Tensor, num_classes: int) -> None:
        super().__init__()
        self.model, self.num_classes = model, num_classes
        self.register_buffer("classes", classes)

    def forward(self, rows: Tensor) -> Tensor:
        found = self.model(rows)
        logits = found.new_full((len(rows), self.num_classes), NEVER)
        logits[:, self.classes] = found
        return logits


def _softmax(
    features: Sequence[Feature], rows: Tensor, y: NDArray[Any], penalty: float, seed: int
) -> nn.Module:
    from sklearn.linear_model import LogisticRegression

    model = LinearModel(features, int(y.max()) + 1)
    found = LogisticRegression(C=penalty, max_iter=2_000, random_state=seed)
    _fit(found, model.extract(rows.cpu()).numpy(), y)
    _set(model.linear, _both(found.coef_), _both(found.intercept_))
    return model


def _mlp(
    features: Sequence[Feature], rows: Tensor, y: NDArray[Any], hidden: int, penalty: float,
    seed: int,
) -> nn.Module:  # fmt: skip
    from sklearn.neural_network import MLPClassifier

    model = TanhModel(features, hidden, int(y.max()) + 1)
    found = MLPClassifier(
        (hidden,), activation="tanh", solver="lbfgs", alpha=1 / penalty, max_iter=1_000,
        random_state=seed,
    )  # fmt: skip
    _fit(found, model.extract(rows.cpu()).numpy(), y)
    (first, second), (bias, out_bias) = found.coefs_, found.intercepts_
    _set(model.hidden, first.T, bias)
    _set(model.out, _both(second.T), _both(out_bias))
    return model


def _rbf_svm(
    features: Sequence[Feature], rows: Tensor, y: NDArray[Any], gamma: float, penalty: float
) -> nn.Module:
    """Two classes: one machine; more: one machine a class, against all others."""
    from sklearn.svm import SVC

    classes = int(y.max()) + 1
    x = RbfModel(features, 1, classes, gamma=gamma).extract(rows.cpu()).numpy()
    asked = [y == 1] if classes == 2 else [y == k for k in range(classes)]
    found = [_fit(SVC(kernel="rbf", gamma=gamma, C=penalty), x, one) for one in asked]
    weights = np.zeros((len(found), sum(len(one.support_) for one in found)))
    at = 0
    for row, one in enumerate(found):
        weights[row, at : at + len(one.support_)] = one.dual_coef_[0]
        at += len(one.support_)
    model = RbfModel(features, at, classes, gamma=gamma)
    with torch.no_grad():
        model.representers.copy_(
            torch.from_numpy(np.concatenate([s.support_vectors_ for s in found]))
        )
    _set(model.out, _both(weights), _both(np.concatenate([one.intercept_ for one in found])))
    return model


def _fit(estimator: Any, x: NDArray[Any], y: NDArray[Any]) -> Any:
    from sklearn.exceptions import ConvergenceWarning

    # one thread: so small a fit waits for threads longer than they compute
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # the audit scores what came out
        return estimator.fit(x, y)


def _both(positive: NDArray[Any]) -> NDArray[Any]:
    """Of two classes scikit-learn gives the second one's logit only: the first one's is 0."""
    return np.concatenate([np.zeros_like(positive), positive]) if len(positive) == 1 else positive


def _set(layer: nn.Linear, weight: NDArray[Any], bias: NDArray[Any]) -> None:
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
        layer.bias.copy_(torch.from_numpy(np.ascontiguousarray(bias)))
