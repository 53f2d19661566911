"""A scikit-learn classifier, or any other with `predict_proba`, behind the victim's interface."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clonecost.errors import VictimError
from clonecost.types import Feature, Shape, Victim
from clonecost.victims.torch_model import failures_named

Rows = NDArray[np.float64]
Words = NDArray[np.object_]
LARGEST = float(np.finfo(np.float32).max)  # of a number whose range nobody says


def is_estimator(found: object) -> bool:
    """Whether `sklearn_victim` takes it."""
    return hasattr(found, "predict_proba") or hasattr(found, "predict")


def sklearn_victim(estimator: Any, features: Sequence[Feature] | None = None) -> Victim:
    """Serve an estimator or pipeline as an API would: rows (n, d) -> (n, K) float64.

    Answers are its `predict_proba`, in the order of its `classes_`; of one that only has `predict`
    they are one-hot. Rows reach it as float64, in the very numbers that were sent; one that was
    fitted on a data frame gets a data frame.

    Args:
        features: the columns. With them the estimator gets a category as its word; without them, as
            its place, as it is sent.

    Raises:
        VictimError: it was fitted on a data frame, and on other columns, or pandas is not
            installed; when asked: it failed, or is not fitted.
    """
    probs = getattr(estimator, "predict_proba", None)  # an SVC has it on condition only
    form = _form(estimator, features or ())

    def answer(inputs: Tensor, /) -> Tensor:
        with failures_named(tuple(inputs.shape)):
            rows = form(inputs.detach().cpu().double().numpy())
            if probs is not None:
                values = np.asarray(probs(rows), dtype=np.float64)
            else:
                named, classes = estimator.predict(rows), np.asarray(estimator.classes_)
                values = (np.asarray(named)[:, None] == classes).astype(np.float64)
        return torch.from_numpy(values).to(inputs.device)

    return answer


def _form(estimator: Any, features: Sequence[Feature]) -> Callable[[Rows], Any]:
    """How the estimator wants rows: as they are, with words for categories, under names."""
    words = {k: np.array(f.categories, object) for k, f in enumerate(features) if f.categories}
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        return (lambda rows: _mixed(rows, words)) if words else (lambda rows: rows)
    try:
        from pandas import DataFrame
    except ImportError as error:
        raise VictimError(
            "the estimator was fitted on a data frame, which needs pandas: pip install "
            "'clonecost[tabular]'"
        ) from error

    given = [feature.name for feature in features]
    columns = given if set(given) & set(names) else list(names)  # others know places only
    if set(columns) != set(names):
        raise VictimError(
            f"the estimator was fitted on the columns {', '.join(names)}; the features are "
            + ", ".join(given)
        )

    def frame(rows: Rows) -> Any:
        found = DataFrame(rows, columns=columns)
        for k, categories in words.items():
            found[columns[k]] = _in_words(rows[:, k], categories)
        return found[names]  # in the order that it was fitted on

    return frame


def _mixed(rows: Rows, words: dict[int, Words]) -> Words:
    found = rows.astype(object)
    for k, categories in words.items():
        found[:, k] = _in_words(rows[:, k], categories)
    return found


def _in_words(column: Rows, categories: Words) -> Words:
    """Places -> words; a missing value stays NaN."""
    missing = np.isnan(column)
    found = categories[np.where(missing, 0, column).astype(int)]
    found[missing] = np.nan
    return found


@dataclass(frozen=True)
class Description:
    """What a fitted estimator knows of itself; no ranges: every finite float32 is within them."""

    features: tuple[Feature, ...] | None = None
    classes: tuple[str, ...] = ()

    @property
    def shape(self) -> Shape | None:
        return (len(self.features),) if self.features else None


def described(estimator: Any) -> Description:
    """The columns and classes of an estimator, as far as it says them."""
    columns = getattr(estimator, "n_features_in_", 0)
    names = getattr(estimator, "feature_names_in_", [f"feature {k}" for k in range(columns)])
    features = tuple(Feature(name=str(name), low=-LARGEST, high=LARGEST) for name in names)
    return Description(features or None, tuple(map(str, getattr(estimator, "classes_", ()))))


def skops_victim(path: Path, allow: Sequence[str] = ()) -> Any:
    """The estimator in a .skops file; no type is made that is not known to be harmless.

    Args:
        allow: further types, by their full names, that the owner answers for.

    Raises:
        VictimError: skops is not installed, the file is broken, it holds types that nobody has
            allowed (the sentence names them), or it is no classifier.
    """
    try:
        import skops.io
    except ImportError as error:
        raise VictimError(
            f"{path} needs the package skops: pip install 'clonecost[tabular]'"
        ) from error
    try:
        unknown = set(skops.io.get_untrusted_types(file=path)) - set(allow)
        if unknown:
            flags = " ".join(f"--allow {name}" for name in sorted(unknown))
            raise VictimError(
                f"{path} holds types that are not known to be harmless, and loading it can run "
                f"their code: if you made the file or know them, allow each by name: {flags}"
            )
        found = skops.io.load(path, trusted=list(allow))
    except VictimError:
        raise
    except Exception as error:  # zip, json, and whatever a type's own state raises
        first = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise VictimError(f"{path} cannot be loaded as a skops file: {first}") from error
    if not is_estimator(found):
        raise VictimError(
            f"{path} holds a {type(found).__name__}, which has neither predict_proba nor predict"
        )
    return found
