"""Data frames and CSV files as tables: words are categories, which are sent as their numbers."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clonecost.errors import Advice, DataError
from clonecost.types import Feature

if TYPE_CHECKING:
    from pandas import DataFrame, Series

LABEL = "label"  # the column of a CSV file with the classes; otherwise the last column


def read_csv(path: Path) -> tuple["DataFrame", NDArray[Any]]:
    """The features of a CSV file with a header, and its labels (n,) as they are written there.

    Raises:
        DataError: pandas is not installed, the file is no CSV, has fewer than two columns, or no
            row.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise DataError(
            f"{path} needs the package pandas.", Advice("run `pip install 'clonecost[tabular]'`")
        ) from error
    try:
        frame = pd.read_csv(path)
    except (ValueError, OSError) as error:  # errors of pandas and of the encoding are ValueErrors
        first = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise DataError(
            f"{path} cannot be read as CSV ({first}).",
            Advice("save it as UTF-8, comma-separated, with a header"),
        ) from error
    if frame.shape[1] < 2:
        raise DataError(
            f"{path} has fewer than two columns: want features and a label.",
            Advice("separate the columns by commas"),
        )
    if frame.empty:
        raise DataError(
            f"{path} has a header and no rows, and agreement is measured on rows.",
            Advice("add rows"),
        )
    labels = frame.pop(LABEL if LABEL in frame.columns else frame.columns[-1])
    return frame, labels.to_numpy()


def numbered(
    frame: "DataFrame", features: Sequence[Feature] | None, where: str
) -> tuple[NDArray[np.float64], list[Feature | None]]:
    """A frame as (n, d) numbers, a word as its number among the categories; and the features.

    Args:
        features: the columns, in this order, with their ranges and categories; None: all columns,
            and the categories of a column of words are those of its type, or the words that occur.
        where: the table's name, for messages.

    Returns:
        The numbers, with nan for a missing value, and a feature for each column; None for a column
        of numbers without a given range.

    Raises:
        DataError: a column is missing, holds a word that is not among its categories, or words
            instead of numbers.
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
                f"{where} has no column {absent[0]!r}; it has {', '.join(map(str, frame.columns))}",
                Advice("name the features as the columns"),
            )
        cells = [frame[feature.name] for feature in features]
    columns = [
        _numbers(one, feature.categories if feature else (), where)
        for one, feature in zip(cells, known, strict=True)
    ]
    return np.stack(columns, axis=1), known


def _feature(name: str, cells: "Series", where: str) -> Feature | None:
    """A column of words as a feature with categories; None for numbers."""
    if _is_number(cells):
        return None
    of_type = getattr(cells.dtype, "categories", None)
    words = sorted(set(cells.dropna().astype(str))) if of_type is None else list(map(str, of_type))
    if len(words) == 1:
        raise DataError(
            f"{where}: {name} is always {words[0]!r}, so its categories are unknown.",
            Advice("leave the column out, or give the features"),
        )
    return Feature(name=name, categories=tuple(words))


def _numbers(cells: "Series", categories: Sequence[str], where: str) -> NDArray[np.float64]:
    from pandas import Index

    if _is_number(cells):
        return cells.to_numpy(dtype=np.float64, na_value=np.nan)
    if not categories:
        raise DataError(
            f"{where}: {cells.name} holds words; want numbers.", Advice("give its categories")
        )
    words = cells.astype(object).map(str, na_action="ignore")
    numbers = Index(categories).get_indexer(words)  # -1: missing, or not a category
    unknown = words[(numbers < 0) & words.notna()]
    if len(unknown):
        raise DataError(
            f"{where}: {cells.name} holds {unknown.iloc[0]!r}, which is none of its categories "
            + ", ".join(categories),
            Advice("add it to the categories of the feature"),
        )
    return np.where(numbers < 0, np.nan, numbers)


def _is_number(cells: "Series") -> bool:
    from pandas.api.types import is_numeric_dtype

    return bool(is_numeric_dtype(cells))  # also true for booleans
