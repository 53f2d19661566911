"""Data frames and CSV files as tables: words are categories, which are sent as their places."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clonecost.errors import DataError
from clonecost.types import Feature

if TYPE_CHECKING:
    from pandas import DataFrame, Series

LABEL = "label"  # the column of a CSV file that holds the classes; without it the last one


def read_csv(path: Path) -> tuple["DataFrame", NDArray[Any]]:
    """The features of a CSV file with a header, and its labels as they stand there.

    Raises:
        DataError: no pandas, no CSV, fewer than two columns, or no row.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise DataError(
            f"{path} needs the package pandas: pip install 'clonecost[tabular]'"
        ) from error
    try:
        frame = pd.read_csv(path)
    except (ValueError, OSError) as error:  # pandas' own are ValueErrors, as is a wrong encoding
        first = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise DataError(f"{path} cannot be read as CSV ({first})") from error
    if frame.shape[1] < 2:
        raise DataError(f"{path} has fewer than two columns: want features and a label, by commas")
    if frame.empty:
        raise DataError(f"{path} has a header and no rows: agreement needs some to be measured on")
    labels = frame.pop(LABEL if LABEL in frame.columns else frame.columns[-1])
    return frame, labels.to_numpy()


def numbered(
    frame: "DataFrame", features: Sequence[Feature] | None, where: str
) -> tuple[NDArray[np.float64], list[Feature | None]]:
    """(n, d) numbers, words as their places among the categories; and the features.

    Args:
        features: which columns, in this order, and what they hold; None: all of them, and a column
            of words has those that occur (or the categories of its type).
        where: the table, for the message.

    Returns:
        The features beside the numbers; None for a number whose range nobody says.

    Raises:
        DataError: a column is not there, holds a word that is none of its categories, or words
            where it should hold numbers.
    """
    if features is None:
        cells = [frame.iloc[:, k] for k in range(frame.shape[1])]
        known = [
            _feature(str(name), column, where)
            for name, column in zip(frame.columns, cells, strict=True)
        ]
    else:
        known = list(features)
        absent = [feature.name for feature in features if feature.name not in frame.columns]
        if absent:
            raise DataError(
                f"{where} has no column {absent[0]!r}; it has {', '.join(map(str, frame.columns))}"
            )
        cells = [frame[feature.name] for feature in features]
    columns = [
        _numbers(one, feature.categories if feature else (), where)
        for one, feature in zip(cells, known, strict=True)
    ]
    return np.stack(columns, axis=1), known


def _feature(name: str, cells: "Series", where: str) -> Feature | None:
    """The categories of a column of words."""
    if _is_number(cells):
        return None
    of_type = getattr(cells.dtype, "categories", None)
    words = sorted(set(cells.dropna().astype(str))) if of_type is None else list(map(str, of_type))
    if len(words) == 1:
        raise DataError(
            f"{where}: {name} is always {words[0]!r}, which says nothing of its categories; leave "
            "the column out, or give the features"
        )
    return Feature(name=name, categories=tuple(words))


def _numbers(cells: "Series", categories: Sequence[str], where: str) -> NDArray[np.float64]:
    from pandas import Index

    if _is_number(cells):
        return cells.to_numpy(dtype=np.float64, na_value=np.nan)
    if not categories:
        raise DataError(f"{where}: {cells.name} holds words; want numbers, or give its categories")
    words = cells.astype(object).map(str, na_action="ignore")
    places = Index(categories).get_indexer(words)  # -1: missing, or none of them
    unknown = words[(places < 0) & words.notna()]
    if len(unknown):
        raise DataError(
            f"{where}: {cells.name} holds {unknown.iloc[0]!r}, which is none of its categories "
            + ", ".join(categories)
        )
    return np.where(places < 0, np.nan, places)


def _is_number(cells: "Series") -> bool:
    from pandas.api.types import is_numeric_dtype

    return bool(is_numeric_dtype(cells))  # of truth values, too
