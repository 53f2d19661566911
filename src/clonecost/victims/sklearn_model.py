"""scikit-learn classifiers, and others with `predict_proba` or `predict`, as victims."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clonecost.errors import Advice, SetKey, VictimError
from clonecost.types import Feature, Shape, Victim
from clonecost.victims.torch_model import as_victim_error, first_line

Rows = NDArray[np.float64]
Words = NDArray[np.object_]
LARGEST = float(np.finfo(np.float32).max)  # the end of a feature's range that is not stated


def is_estimator(model: object) -> bool:
    """Whether `sklearn_victim` takes this object."""
    return hasattr(model, "predict_proba") or hasattr(model, "predict")


def sklearn_victim(estimator: Any, features: Sequence[Feature] | None = None) -> Victim:
    """Serve an estimator or pipeline as an API would: rows (n, d) -> (n, K) float64.

    Answers are the estimator's `predict_proba`, in the order of its `classes_`; without that
    method they are one-hot rows of its `predict`. Rows reach the estimator as float64 without
    rounding, and as a data frame if it was fitted on one.

    Args:
        features: the columns. With them the estimator gets a category as its word; without them,
            as its position, which is what was sent.

    Raises:
        VictimError: the estimator was fitted on a data frame with other columns, or pandas is not
            installed; when called: the estimator failed, or is not fitted.

    Example:
        >>> model = LogisticRegression(max_iter=1_000).fit(*load_iris(return_X_y=True))
        >>> sklearn_victim(model)(torch.rand(5, 4)).shape
        torch.Size([5, 3])
    """
    predict_proba = getattr(estimator, "predict_proba", None)  # an SVC may lack it
    to_rows = _conversion(estimator, features or ())

    def answer(inputs: Tensor, /) -> Tensor:
        with as_victim_error(tuple(inputs.shape)):
            rows = to_rows(inputs.detach().cpu().double().numpy())
            if predict_proba is not None:
                values = np.asarray(predict_proba(rows), dtype=np.float64)
            else:
                predicted, classes = estimator.predict(rows), np.asarray(estimator.classes_)
                values = (np.asarray(predicted)[:, None] == classes).astype(np.float64)
        return torch.from_numpy(values).to(inputs.device)

    return answer


def _conversion(estimator: Any, features: Sequence[Feature]) -> Callable[[Rows], Any]:
    """A function from (n, d) numbers to what the estimator was fitted on.

    That is the numbers themselves, an array with words for categories, or a data frame.
    """
    words = {k: np.array(f.categories, object) for k, f in enumerate(features) if f.categories}
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        return (lambda rows: _mixed(rows, words)) if words else (lambda rows: rows)
    try:
        from pandas import DataFrame
    except ImportError as error:
        raise VictimError(
            "Pandas is missing, and the estimator was fitted on a data frame",
            Advice("install it: pip install 'clonecost[tabular]'"),
        ) from error

    given = [feature.name for feature in features]
    columns = given if set(given) & set(names) else list(names)  # no common name: by position
    if set(columns) != set(names):
        raise VictimError(
            "The estimator was fitted on other columns", SetKey("features"),
            got=", ".join(given), want=", ".join(names),
        )  # fmt: skip

    def frame(rows: Rows) -> Any:
        table = DataFrame(rows, columns=columns)
        for k, categories in words.items():
            table[columns[k]] = _in_words(rows[:, k], categories)
        return table[names]  # in the order of the fit

    return frame


def _mixed(rows: Rows, words: dict[int, Words]) -> Words:
    table = rows.astype(object)
    for k, categories in words.items():
        table[:, k] = _in_words(rows[:, k], categories)
    return table


def _in_words(column: Rows, categories: Words) -> Words:
    """Positions -> words; a missing value stays NaN."""
    missing = np.isnan(column)
    words = categories[np.where(missing, 0, column).astype(int)]
    words[missing] = np.nan
    return words


@dataclass(frozen=True)
class Description:
    """Columns and classes that a fitted estimator states; ranges are those of float32."""

    features: tuple[Feature, ...] | None = None
    classes: tuple[str, ...] = ()

    @property
    def shape(self) -> Shape | None:
        """(d,), or None if the columns are unknown."""
        return (len(self.features),) if self.features else None


def described(estimator: Any) -> Description:
    """The columns and classes of an estimator, as far as the estimator states them."""
    columns = getattr(estimator, "n_features_in_", 0)
    names = getattr(estimator, "feature_names_in_", [f"feature {k}" for k in range(columns)])
    features = tuple(Feature(name=str(name), low=-LARGEST, high=LARGEST) for name in names)
    return Description(features or None, tuple(map(str, getattr(estimator, "classes_", ()))))


def skops_victim(path: Path, allow: Sequence[str] = ()) -> Any:
    """The estimator in a .skops file, without types that are not known to be harmless.

    Args:
        allow: full names of further types that the owner trusts.

    Raises:
        VictimError: skops is not installed, the file is broken, holds types that are not allowed,
            or holds no classifier.
    """
    try:
        import skops.io
    except ImportError as error:
        raise VictimError(
            f"The package skops is missing, which {path} needs",
            Advice("install it: pip install 'clonecost[tabular]'"),
        ) from error
    try:
        unknown = set(skops.io.get_untrusted_types(file=path)) - set(allow)
        if unknown:
            raise VictimError(
                f"{path} holds types that are not known to be harmless, and loading them can run "
                "their code", Advice("use another file unless you made this one or know the types"),
                SetKey("allow", sorted({*allow, *unknown})), got=", ".join(sorted(unknown)),
            )  # fmt: skip
        estimator = skops.io.load(path, trusted=list(allow))
    except VictimError:
        raise
    except Exception as error:  # zip, JSON, or any error of a type's own state
        raise VictimError(
            f"{path} cannot be loaded as a skops file: {first_line(error)}"
        ) from error
    if not is_estimator(estimator):
        raise VictimError(f"The object in {path} is no classifier", got=type(estimator).__name__,
                          want="predict_proba or predict")  # fmt: skip
    return estimator
