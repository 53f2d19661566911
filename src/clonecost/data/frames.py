"""Data frames as tables: columns are found by name, words are categories, sent as their numbers."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clonecost.data.stated import StatedTable
from clonecost.data.values import listed, match, nearest, word
from clonecost.errors import Advice, DataError, SetKey
from clonecost.types import Feature

if TYPE_CHECKING:
    from pandas import DataFrame, Series

LABEL = "label"  # the column of a file with the classes, unless a model has a column of that name
NOTHING_STATED = StatedTable()


def without_pandas(what: str) -> DataError:
    """The error of data that need pandas, which is an extra."""
    return DataError(
        f"{what} needs the package pandas.", Advice("run `pip install 'clonecost[tabular]'`")
    )


def label_column(
    names: Sequence[str], features: Sequence[Feature] | None, stated: StatedTable, where: str
) -> str | None:
    """The name of the column with the classes; None if every column is a feature.

    It is the column `label`, else the one that is no column of the model, else the last one.

    Raises:
        DataError: a model without names of columns was fitted on another number of columns, or
            several columns could hold the classes.

    Example:
        >>> label_column(["age", "income", "good"], None, NOTHING_STATED, "people.csv")
        'good'
    """
    if stated.names is None and not features:
        if stated.count and len(names) - stated.count not in (0, 1):
            raise DataError(
                f"{where} has another number of columns than the model, which was fitted on "
                f"columns without names, so that they are matched by their order: it has "
                f"{listed(names)}.",
                Advice("leave out the columns that the model was not fitted on"),
                got=f"{len(names)}", want=f"{stated.count} and a label",
            )  # fmt: skip
        if len(names) == stated.count and LABEL not in names:
            return None
        return LABEL if LABEL in names else names[-1]
    known = set(stated.names or ()) | {feature.name for feature in features or ()}
    others = [name for name in names if name not in known]
    if LABEL in others or (not stated.names and names[-1] in others):
        return LABEL if LABEL in others else names[-1]
    if set(stated.names or known) <= set(names) and len(others) > 1:
        raise DataError(
            f"{where} has several columns that the model does not have, and one of them may hold "
            f"the classes: {listed(others)}.",
            Advice(f"call the column of the classes {LABEL!r}, or leave the others out"),
        )
    return others[-1] if others else None


def respelled(names: Sequence[str], stated: StatedTable) -> list[str]:
    """The columns' names in the model's spelling: LightGBM saves a space as an underscore.

    A name that the model has stays, and so does one that two columns would share.

    Example:
        >>> from dataclasses import replace
        >>> respelled(["mean area", "label"], replace(NOTHING_STATED, names=("mean_area",)))
        ['mean_area', 'label']
    """
    known = set(stated.names or ()) - set(names)
    written = [re.sub(r"\s", "_", name) for name in names]
    return [
        spelt if spelt in known and written.count(spelt) == 1 else name
        for name, spelt in zip(names, written, strict=True)
    ]


def chosen(
    names: Sequence[str], features: Sequence[Feature] | None, stated: StatedTable, where: str
) -> tuple[list[str], list[Feature | None]]:
    """The columns that make a row, in order, and what is known of each.

    They are the model's columns by name, else the given features, else all columns. The given
    features win over what the model states; None: a column of which nothing is known.

    Args:
        names: the columns there are, without the label.
        features: ranges and categories that the owner gave.

    Raises:
        DataError: a column is missing; a feature contradicts the model.
    """
    given = {feature.name: feature for feature in features or ()}
    if stated.names is not None:
        wanted: list[str] = list(stated.names)
        if set(given) >= set(wanted):
            wanted = list(given)  # in the owner's order
        _check_names(wanted + list(given), stated.names, where, "the features given for")
    else:
        wanted = list(given) or list(names)
        if stated.count and len(wanted) != stated.count:
            raise DataError(
                f"{where} has another number of feature columns than the model: {listed(wanted)}.",
                SetKey("features"), got=len(wanted), want=stated.count,
            )  # fmt: skip
    _check_names(wanted, names, where, "")
    place = {name: k for k, name in enumerate(stated.names or wanted)}
    return wanted, [_known(name, given.get(name), stated, place[name], where) for name in wanted]


def _check_names(wanted: Sequence[str], there: Sequence[str], where: str, of: str) -> None:
    have, asked = set(there), set(wanted)
    absent = list(dict.fromkeys(name for name in wanted if name not in have))
    if not absent:
        return
    close = nearest(absent, [name for name in there if name not in asked])
    if of:
        what = f"{of} {where} name columns that the model does not have: {listed(absent)}"
        what = what[0].upper() + what[1:]
        raise DataError(f"{what}; it has {listed(there)}.", SetKey("features"))
    raise DataError(
        f"{where} has no column {listed(map(repr, absent))}; it has {listed(there)}, and columns "
        "are matched by name" + (f" (nearest: {close})" if close else "") + ".",
        Advice("name the columns as the model and the features have them"),
    )


def _known(
    name: str, given: Feature | None, stated: StatedTable, k: int, where: str
) -> Feature | None:
    categories = stated.categories.get(k, ())
    if not categories:
        return given
    if given is None:
        if len(categories) < 2 and k not in stated.open:
            raise DataError(
                f"{where}: the model knows one value of {name} only, {categories[0]!r}, and a "
                "category needs two.", Advice("fit the model without this column"),
            )  # fmt: skip
        return Feature(name=name, categories=categories) if len(categories) > 1 else None
    if not given.categories:
        raise DataError(
            f"{name} has a range, and for the model it is a category with the values "
            f"{listed(categories)}.", SetKey("features"),
            Advice("give its categories, or leave it out of the features"),
        )  # fmt: skip
    return given


def numbered(
    frame: "DataFrame", known: Sequence[Feature | None], where: str,
    open_to: Sequence[bool] = (),
) -> tuple[NDArray[np.float64], list[Feature | None]]:  # fmt: skip
    """A frame as (n, d) numbers, a category as its place among the categories; and the features.

    Args:
        known: what is known of each column; the categories of an unknown column of words are those
            of its type, or the words that occur.
        where: the table's name, for messages.
        open_to: for each column, whether values that are not among its categories are added.

    Returns:
        The numbers, with nan for a missing value, and a feature for each column; None for a column
        of numbers without a known range.

    Raises:
        DataError: a column holds a value that is not among its categories, or words instead of
            numbers.
    """
    if not frame.shape[1]:
        raise DataError(
            f"{where} has no column beside the label, and a row needs one.", Advice("add columns")
        )
    columns, found = [], []
    for k, given in enumerate(known):
        cells = frame.iloc[:, k]
        _must_be_plain(cells, where)
        feature = given or _feature(str(frame.columns[k]), cells, where)
        may_grow = k < len(open_to) and open_to[k]
        numbers, feature = _numbers(cells, feature, where, may_grow=may_grow)
        columns.append(numbers)
        found.append(feature)
    return np.stack(columns, axis=1), found


def _must_be_plain(cells: "Series", where: str) -> None:
    """Refuse a column of lists, records or arrays, as Parquet and JSON files may hold."""
    kinds = set(map(type, cells)) if cells.dtype == object else set()
    if kinds & {list, tuple, dict, set, np.ndarray}:
        raise DataError(
            f"{where}: {cells.name} holds lists or records; want a number or a word in each row.",
            Advice("leave the column out, or make one column of each of its parts"),
        )


def _feature(name: str, cells: "Series", where: str) -> Feature | None:
    """A column of words as a feature with categories; None for numbers."""
    if _is_number(cells):
        return None
    of_type = getattr(cells.dtype, "categories", None)
    there = sorted(set(cells.dropna().map(word))) if of_type is None else list(map(word, of_type))
    if len(there) < 2:
        raise DataError(
            f"{where}: {name} is always {there[0]!r}, so its categories are unknown."
            if there else f"{where}: {name} is empty.",
            SetKey("features"), Advice("leave the column out if the model does not need it"),
        )  # fmt: skip
    return Feature(name=name, categories=tuple(there))


def _numbers(
    cells: "Series", feature: Feature | None, where: str, *, may_grow: bool
) -> tuple[NDArray[np.float64], Feature | None]:
    from pandas import factorize

    if feature is None or not feature.categories:
        if _is_number(cells):
            return cells.to_numpy(dtype=np.float64, na_value=np.nan), feature
        raise DataError(
            f"{where}: {cells.name} holds words; want numbers.", Advice("give its categories")
        )
    codes, distinct = factorize(cells.to_numpy(dtype=object, na_value=None))  # -1: missing
    places = match(distinct, feature.categories)
    unknown = [value for value, place in zip(distinct, places, strict=True) if place < 0]
    if unknown and may_grow:
        words = tuple(sorted(map(word, unknown)))
        feature = replace(feature, categories=feature.categories + words)
        places = match(distinct, feature.categories)
    elif unknown:
        raise DataError(
            f"{where}: {cells.name} holds {word(unknown[0])!r}, which is none of its categories "
            f"{listed(feature.categories)}",
            Advice("correct the value, or add it to the categories of the feature"),
        )
    return np.array([*places, np.nan])[codes], feature


def _is_number(cells: "Series") -> bool:
    from pandas.api.types import is_numeric_dtype

    return bool(is_numeric_dtype(cells))  # also true for booleans
