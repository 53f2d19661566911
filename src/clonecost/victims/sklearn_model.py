"""scikit-learn classifiers, and others with `predict_proba` or `predict`, as victims."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clonecost.data.stated import StatedTable
from clonecost.data.values import is_number, listed, match
from clonecost.errors import Advice, SetKey, VictimError
from clonecost.safe_text import first_line
from clonecost.types import Feature, Victim
from clonecost.victims.estimator_columns import (
    FittedColumns,
    fitted_columns,
    must_classify,
    names_of,
    stated_table,
)
from clonecost.victims.torch_model import as_victim_error

Rows = NDArray[np.float64]
Values = NDArray[Any]
HARMLESS = ("numpy.dtype",)  # a name of numbers, which SimpleImputer holds; skops does not list it
LARGEST = float(np.finfo(np.float32).max)  # the end of a feature's range that is not stated


def is_estimator(model: object) -> bool:
    """Whether an object has a method `predict_proba` or `predict`, as estimators do."""
    return hasattr(model, "predict_proba") or hasattr(model, "predict")


@dataclass(frozen=True)
class EstimatorApi:
    """An estimator that is served: its rows cost nothing, and it states its classes."""

    estimator: Any
    answer: Victim

    def __call__(self, inputs: Tensor, /) -> Tensor:
        """Rows (n, d) -> (n, K) probabilities."""
        return self.answer(inputs)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes in the order of the answers."""
        return stated_table(self.estimator).classes


def sklearn_victim(estimator: Any, features: Sequence[Feature] | None = None) -> EstimatorApi:
    """Serve an estimator or pipeline as an API would: rows (n, d) -> (n, K) float64.

    Answers are the estimator's `predict_proba`, in the order of its `classes_`; without that
    method they are one-hot rows of its `predict`. Rows reach the estimator as float64 without
    rounding, and as a data frame if it was fitted on one.

    Args:
        features: the columns. With them the estimator gets a category as the value that it was
            fitted on, or as the word; without them, as its place, which is what was sent.

    Raises:
        VictimError: the estimator is no classifier, was fitted on other columns or categories, or
            pandas is not installed; when called: the estimator failed, or is not fitted.

    Example:
        >>> model = LogisticRegression(max_iter=1_000).fit(*load_iris(return_X_y=True))
        >>> sklearn_victim(model)(torch.rand(5, 4)).shape
        torch.Size([5, 3])
    """
    must_classify(estimator)
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

    return EstimatorApi(estimator, answer)


def _conversion(estimator: Any, features: Sequence[Feature]) -> Callable[[Rows], Any]:
    """A function from (n, d) numbers to what the estimator was fitted on.

    That is the numbers themselves, an array with values for categories, or a data frame.
    """
    names = names_of(estimator)
    columns = _columns(names, features)
    place = {name: k for k, name in enumerate(names or columns)}
    fitted = fitted_columns(estimator)
    values = {
        k: _values(feature, fitted, place[columns[k]])
        for k, feature in enumerate(features)
        if feature.categories or fitted.values.get(place[columns[k]])
    }
    if names is None:
        return (lambda rows: _mixed(rows, values)) if values else (lambda rows: rows)
    try:
        from pandas import DataFrame
    except ImportError as error:
        raise VictimError(
            "Pandas is missing, and the estimator was fitted on a data frame",
            Advice("install it: pip install 'clonecost[tabular]'"),
        ) from error

    def frame(rows: Rows) -> Any:
        table = DataFrame(rows, columns=columns)
        for k, known in values.items():
            table[columns[k]] = _looked_up(rows[:, k], known)
        return table[list(names)]  # in the order of the fit

    return frame


def _columns(names: Sequence[str] | None, features: Sequence[Feature]) -> list[str]:
    """The names of the columns that are sent, in their order.

    Features that are called "feature k" throughout come from rows without names, whose order is
    all there is.
    """
    given = [feature.name for feature in features]
    nameless = given == [f"feature {k}" for k in range(len(given))]
    if names is None:
        return given
    if not features or (nameless and len(given) == len(names)):
        return list(names)
    if set(given) != set(names):
        raise VictimError(
            "The estimator was fitted on other columns", SetKey("features"),
            got=", ".join(given), want=", ".join(names),
        )  # fmt: skip
    return given


def _values(feature: Feature, fitted: FittedColumns, column: int) -> Values:
    """The values that the categories of a feature mean to the estimator, in their order.

    They are those that its encoder was fitted on. A column without an encoder gets what pandas
    reads from such words: whole numbers, numbers, truth values, or the words.

    Raises:
        VictimError: the encoder knows other values.
    """
    known = fitted.values.get(column)
    if not known:
        return _as_read(feature.categories)
    if not feature.categories:
        raise VictimError(
            f"{feature.name} has a range, and for the estimator it is a category with the values "
            f"{listed(known)}", SetKey("features"), Advice("give its categories"),
        )  # fmt: skip
    places = match(feature.categories, known)
    unknown = [
        name for name, place in zip(feature.categories, places, strict=True) if place < 0
    ]  # fmt: skip
    if unknown and column not in fitted.open:
        raise VictimError(
            f"{feature.name} has categories that the estimator does not take: {listed(unknown)}; "
            f"it takes {listed(known)}", SetKey("features"),
        )  # fmt: skip
    of_numbers = all(isinstance(value, int | float) for value in known)
    more = iter(_as_read(unknown) if of_numbers else unknown)
    return _array([known[place] if place >= 0 else next(more) for place in places])


def _as_read(words: Sequence[str]) -> Values:
    if all(one in ("True", "False") for one in words):
        return np.array([one == "True" for one in words])
    if all(is_number(one) for one in words):
        return np.array([float(one) if set(one) & set(".eE") else int(one) for one in words])
    return np.array(words, object)


def _array(values: list[Any]) -> Values:
    """Numbers or truth values as such, anything else as objects."""
    kinds = {type(value) for value in values}
    numbers = kinds <= {int, float} or kinds == {bool}
    return np.array(values) if numbers else np.array(values, object)


def _mixed(rows: Rows, values: dict[int, Values]) -> Values:
    numbers = all(np.issubdtype(known.dtype, np.number) for known in values.values())
    table: Values = rows.copy() if numbers else rows.astype(object)
    for k, known in values.items():
        table[:, k] = _looked_up(rows[:, k], known)
    return table


def _looked_up(column: Rows, known: Values) -> Values:
    """Places -> values; a missing value stays NaN."""
    missing = np.isnan(column)
    values = known[np.where(missing, 0, column).astype(int)]
    if missing.any():
        whole = np.issubdtype(values.dtype, np.number)
        values = values.astype(np.float64 if whole else object)
        values[missing] = np.nan
    return values


@dataclass(frozen=True)
class TableModel:
    """A fitted estimator before the rows are known that it will be asked."""

    estimator: Any

    @property
    def served(self) -> str:
        """How its columns are found, for the report."""
        how = (
            "in their order: it was fitted without names"
            if names_of(self.estimator) is None
            else ("by name")
        )
        return f"{type(self.estimator).__name__}, columns {how}"

    @cached_property
    def stated(self) -> StatedTable:
        """What it states of its columns, categories and classes."""
        return stated_table(self.estimator)

    def features(self) -> tuple[Feature, ...] | None:
        """Its columns; ranges are those of float32. None if it does not state them."""
        known = self.stated.categories
        found = [
            Feature(name=name, categories=known[k]) if len(known.get(k, ())) > 1
            else Feature(name=name, low=-LARGEST, high=LARGEST)
            for k, name in enumerate(self.stated.labels_of_columns)
        ]  # fmt: skip
        return tuple(found) or None

    def answering(self, features: Sequence[Feature] | None) -> Victim:
        """The victim that takes rows of these features."""
        return sklearn_victim(self.estimator, features)


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
    allow = [*HARMLESS, *allow]
    try:
        unknown = set(skops.io.get_untrusted_types(file=path)) - set(allow)
        if unknown:
            raise VictimError(
                f"{path} holds types that are not known to be harmless, and loading them can run "
                "their code", Advice("use another file unless you made this one or know the types"),
                SetKey("allow", sorted({*allow, *unknown} - {*HARMLESS})),
                got=", ".join(sorted(unknown)),
            )  # fmt: skip
        estimator = skops.io.load(path, trusted=allow)
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
