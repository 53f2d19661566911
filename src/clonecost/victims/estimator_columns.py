"""What a fitted scikit-learn estimator knows of its columns: names, and categories with values.

A pipeline knows its categories in the encoders inside it. They are followed from the input columns
through the steps that keep values as they are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from clonecost.data.stated import StatedTable
from clonecost.data.values import word
from clonecost.errors import Advice, VictimError

_INSIDE = (  # attributes of fitted estimators that hold others, fitted on the same columns
    "best_estimator_", "estimator_", "estimators_", "calibrated_classifiers_", "estimator",
    "_preprocessor",
)  # fmt: skip
_KEEPS_VALUES = "sklearn.impute"
_OPEN = ("ignore", "infrequent_if_exist", "use_encoded_value", "warn")


@dataclass(frozen=True)
class FittedColumns:
    """The categories of an estimator by column, as the values that it was fitted on."""

    values: dict[int, list[Any]] = field(default_factory=dict)
    open: frozenset[int] = frozenset()  # columns whose encoder takes other values, too


def stated_table(estimator: Any) -> StatedTable:
    """What an estimator states of its columns, categories and classes, as far as it states them.

    Raises:
        VictimError: the estimator is a regressor, or has several outputs.

    Example:
        >>> model = LogisticRegression(max_iter=1_000).fit(*load_iris(return_X_y=True))
        >>> stated_table(model).count, stated_table(model).classes
        (4, ('0', '1', '2'))
    """
    must_classify(estimator)
    names = names_of(estimator)
    count = int(getattr(estimator, "n_features_in_", 0) or len(names or ()))
    fitted = fitted_columns(estimator)
    return StatedTable(
        count=count, names=names,
        categories={k: tuple(map(word, values)) for k, values in fitted.values.items()},
        open=fitted.open, classes=tuple(map(word, getattr(estimator, "classes_", ()))),
        takes_missing=_takes_missing(estimator),
    )  # fmt: skip


def names_of(estimator: Any) -> tuple[str, ...] | None:
    """The names of the columns, if the estimator was fitted on a data frame."""
    names = getattr(estimator, "feature_names_in_", None)
    return None if names is None else tuple(map(str, names))


def must_classify(estimator: Any) -> None:
    """Refuse an estimator without classes.

    Raises:
        VictimError: it is a regressor, finds clusters or outliers, or has several outputs.
    """
    name = type(estimator).__name__
    kind = _kind(estimator)
    if kind in ("regressor", "clusterer", "outlier_detector"):
        raise VictimError(
            f"{name} is a {kind.replace('_', ' ')}, and a {kind.replace('_', ' ')} has no classes",
            Advice("an audit measures how often a clone predicts the same class: give a "
                   "classifier"),
        )  # fmt: skip
    classes = getattr(estimator, "classes_", ())
    if isinstance(classes, list) and any(np.ndim(part) for part in classes):
        raise VictimError(
            f"{name} answers {len(classes)} questions at once, and an audit is of one classifier",
            Advice("give a classifier with one output"),
        )


def _tags(estimator: Any) -> Any | None:
    """scikit-learn's tags; None of an object that only looks like an estimator."""
    try:
        from sklearn.utils import get_tags

        return get_tags(estimator)
    except (ImportError, AttributeError, TypeError, ValueError, NotImplementedError):
        return None


def _kind(estimator: Any) -> str | None:
    tags = _tags(estimator)
    kind = getattr(estimator, "_estimator_type", None) if tags is None else tags.estimator_type
    return kind if isinstance(kind, str) else None


def _takes_missing(estimator: Any) -> bool:
    """Whether rows with NaN may be answered; True if the estimator does not say."""
    tags = _tags(estimator)
    if tags is None or hasattr(estimator, "steps") or hasattr(estimator, "transformers_"):
        return True  # tags of pipelines do not cover the parts in every version
    return bool(tags.input_tags.allow_nan)


def fitted_columns(estimator: Any) -> FittedColumns:
    """The categories that the encoders in an estimator know, by input column.

    Example:
        >>> model = make_pipeline(OneHotEncoder(), LogisticRegression())
        >>> fitted_columns(model.fit([[1], [3]], ["no", "yes"])).values
        {0: [1, 3]}
    """
    own = getattr(estimator, "known_categories", None)  # of a booster from its own file
    if isinstance(own, dict):
        return FittedColumns(dict(own))
    names = names_of(estimator)
    count = int(getattr(estimator, "n_features_in_", 0) or len(names or ()))
    values: dict[int, list[Any]] = {}
    closed: set[int] = set()
    for k, known, is_open in _encoders(estimator, list(range(count)), names):
        have = values.setdefault(k, [])
        have += [value for value in known if value not in have]
        if not is_open:
            closed.add(k)
    return FittedColumns(values, frozenset(values) - closed)


def _encoders(
    part: Any, columns: Sequence[int], names: Sequence[str] | None
) -> Iterator[tuple[int, list[Any], bool]]:
    """(input column, its values, whether others are taken) of the encoders in a fitted part.

    Args:
        columns: the input column that each column of the part is.
        names: the names of the input columns.
    """
    known = getattr(part, "categories_", None)
    if isinstance(known, list) and len(known) == len(columns):
        is_open = getattr(part, "handle_unknown", "ignore") in _OPEN  # TargetEncoder has no choice
        for k, values in zip(columns, known, strict=True):
            yield k, [value for value in values.tolist() if not _is_missing(value)], is_open
        return
    if hasattr(part, "steps"):
        for _, step in part.steps:
            if step in (None, "passthrough"):
                continue
            yield from _encoders(step, columns, names)
            if not _keeps_values(step, len(columns)):
                return
        return
    for one in getattr(part, "transformers_", ()):
        if isinstance(one[1], str):
            continue
        yield from _encoders(one[1], _selected(one[2], columns, names), names)
    for _, one in getattr(part, "transformer_list", ()):
        yield from _encoders(one, columns, names)
    if hasattr(part, "estimators_features_"):  # each with columns of its own
        return
    for attribute in _INSIDE:
        inside = getattr(part, attribute, None)
        for one in inside if isinstance(inside, list) else [inside]:
            if hasattr(one, "__dict__") and not isinstance(one, type):
                yield from _encoders(one, columns, names)


def _keeps_values(step: Any, count: int) -> bool:
    if not type(step).__module__.startswith(_KEEPS_VALUES):
        return False
    try:
        return len(step.get_feature_names_out()) == count
    except Exception:  # another package's own class
        return False


def _selected(which: Any, columns: Sequence[int], names: Sequence[str] | None) -> list[int]:
    """The input columns that a column transformer's choice means: names, numbers, slice or mask."""
    if isinstance(which, str):
        which = [which]
    if isinstance(which, slice) and isinstance(which.start or which.stop, str):
        start = None if which.start is None else list(names or ()).index(which.start)
        stop = None if which.stop is None else list(names or ()).index(which.stop) + 1
        which = slice(start, stop)
    if isinstance(which, slice):
        return list(columns)[which]
    chosen = np.atleast_1d(np.asarray(which))
    if chosen.dtype == bool:
        return [k for k, one in zip(columns, chosen, strict=True) if one]
    if chosen.dtype.kind in "iu":
        return [columns[int(k)] for k in chosen]
    place = {name: k for k, name in enumerate(names or ())}
    return [place[str(name)] for name in chosen if str(name) in place]


def _is_missing(value: object) -> bool:
    return value is None or value != value
