"""Tables: rows of named features with labels; scikit-learn's by name, a user's own by path.

Nothing here opens a pickle.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from clonecost.data.bundled_tables import TABLES
from clonecost.data.catalogue import Split
from clonecost.data.frames import NOTHING_STATED, chosen, numbered, respelled, without_pandas
from clonecost.data.stated import StatedTable
from clonecost.data.table_files import read_table_file
from clonecost.data.table_labels import numbered_as, numbered_labels
from clonecost.data.values import match
from clonecost.errors import Advice, DataError, Remedy, SetKey, SpecError, suggest
from clonecost.persistence.file_limits import at_home, regular_file
from clonecost.types import Feature, LabelledInputs

if TYPE_CHECKING:
    from pandas import DataFrame

SPLIT_SEED = 0
LARGEST = float(np.finfo(np.float32).max)  # of a value: rows are float32
TEST_SHARE = 0.3  # as in Tramèr et al., USENIX Security 2016


def table(
    inputs: "ArrayLike | DataFrame", labels: ArrayLike | None, *,
    features: Sequence[Feature] | None = None, names: Sequence[str] = (),
    classes: Sequence[str] = (), name: str = "table", stated: StatedTable = NOTHING_STATED,
    incomplete: bool = False,
) -> LabelledInputs:  # fmt: skip
    """Rows (n, d) and their (n,) labels as test data or proxy data of an audit.

    Rows are finite numbers, or a pandas data frame, whose words are categories. Labels are 0, 1,
    2 ..., or words, which are numbered in sorted order, as by scikit-learn; labels of a model that
    states its classes are those, found by value.

    Args:
        labels: None for rows without labels, which then are -1.
        features: the range or the categories of each column, and the choice of a data frame's
            columns; without them, the range is that of the values here, and the categories are the
            words that occur here. A column that is always the same gets a range upwards from there.
        names: names of the columns, if there are no `features`.
        classes: names of the classes, in the order of the labels.
        name: the table's name, for reports and messages.
        stated: what the model states of its columns and classes, by `stated_table`.
        incomplete: rows may have missing values, which are NaN.

    Returns:
        float32 inputs (n, d), int64 labels (n,), and a feature for each column.

    Raises:
        DataError: the rows are no table of finite numbers, the labels have another kind or length,
            a label is no class of the model, columns and model do not fit, or a value is outside
            its feature's range.

    Example:
        >>> rows = table([[5.1, 0], [6.2, 1]], ["no", "yes"], names=["length", "wide"])
        >>> rows.labels.tolist(), rows.classes, rows.features[0].high
        ([0, 1], ('no', 'yes'), 6.199999809265137)
    """
    known: Sequence[Feature | None] = list(features or ())
    if hasattr(inputs, "columns"):
        frame = cast("DataFrame", inputs)
        columns = respelled([str(c) for c in frame.columns], stated)
        names, known = chosen(columns, features, stated, name)
        frame = frame.set_axis(columns, axis=1)[names]
        inputs, known = numbered(frame, known, name, _open(names, stated))
    elif features is None and stated.count:
        inputs, names, known = _by_position(np.asarray(inputs), names, stated, name)
    values = np.asarray(inputs)
    if values.ndim != 2 or not np.issubdtype(values.dtype, np.number) or not values.size:
        raise DataError(
            f"{name} has inputs of shape {values.shape} and {values.dtype}; want a table (n, d) of "
            "numbers.",
            Advice("encode categories as 0, 1, 2 ..., or pass a data frame"),
        )
    _check_complete(values, names, stated, name, incomplete=incomplete)
    rows = torch.from_numpy(values.astype(np.float32))
    y, words = numbered_labels(labels, len(rows), name)
    chosen_features = _ranges(rows, names, known, name)
    _check(rows, chosen_features, name)
    names_of_classes = tuple(map(str, classes)) or tuple(words)
    data = LabelledInputs(rows, y, names_of_classes, name, chosen_features)
    if stated.classes and not words and -1 in match(names_of_classes, stated.classes):
        data = replace(data, classes=())  # numbers with names of their own, which are for people
    return numbered_as(data, stated.classes)


def _open(names: Sequence[str], stated: StatedTable) -> list[bool]:
    place = {name: k for k, name in enumerate(stated.names or names)}
    return [place[name] in stated.open for name in names]


def _by_position(
    values: NDArray[Any], names: Sequence[str], stated: StatedTable, where: str
) -> tuple[NDArray[Any], Sequence[str], Sequence[Feature | None]]:
    """An array for a model that states its columns; without names their order is all there is."""
    if values.ndim != 2:
        return values, names, ()
    if not names and values.shape[1] != stated.count:
        raise DataError(
            f"{where} has another number of columns than the model, and columns without names are "
            "matched by their order.", Advice("give the columns that the model was fitted on"),
            got=values.shape[1], want=stated.count,
        )  # fmt: skip
    if not names:
        names = stated.labels_of_columns
    wanted, known = chosen(names, None, stated, where)
    places = {name: k for k, name in reversed(list(enumerate(names)))}
    place = [places[name] for name in wanted]
    if not any(known) and np.issubdtype(values.dtype, np.number):
        return values[:, place], wanted, known
    try:
        from pandas import DataFrame
    except ImportError as error:
        raise without_pandas(f"{where}, a table with categories,") from error
    numbers, found = numbered(
        DataFrame(values[:, place], columns=wanted), known, where, _open(wanted, stated)
    )
    return numbers, wanted, found


def _check_complete(
    values: NDArray[Any], names: Sequence[str], stated: StatedTable, where: str, *,
    incomplete: bool,
) -> None:  # fmt: skip
    missing = ~np.isfinite(values)
    endless = (values > LARGEST) | (values < -LARGEST)  # np.abs would copy them all
    if not (endless.any() or (missing.any() and not incomplete)):
        return
    row, column = (int(k) for k in np.argwhere(endless if endless.any() else missing)[0])
    called = str(names[column]) if column < len(names) else f"feature {column}"
    if endless.any():
        raise DataError(
            f"{where} has values that are not finite: {called} is infinite or above"
            f" {LARGEST:.2g} in row {row + 1}.",
            Advice("correct or leave out the row"),
        )
    remedies: list[Remedy] = [Advice("fill the gaps or leave these rows out")]
    if stated.takes_missing:
        remedies.append(SetKey("incomplete", True))
    refused = (
        "; want complete rows, unless the model answers incomplete ones" if stated.takes_missing
        else ", and the model does not answer such rows"
    )  # fmt: skip
    raise DataError(
        f"{where} has missing values, which are not finite numbers, in "
        f"{int(missing.any(axis=1).sum()):,} of {len(values):,} rows; the first is {called} in row "
        f"{row + 1}{refused}.",
        *remedies,
    )


def _ranges(
    rows: torch.Tensor, names: Sequence[str], known: Sequence[Feature | None], where: str
) -> tuple[Feature, ...]:
    """The `known` features, and for the other columns the ranges of the rows."""
    if known and len(known) != rows.shape[1]:
        raise DataError(
            f"{where} has {rows.shape[1]} columns and {len(known)} features.",
            Advice("give one feature for each column"),
        )
    features = []
    for k, column in enumerate(rows.T):
        if k < len(known) and (feature := known[k]):
            features.append(feature)
            continue
        name = str(names[k]) if k < len(names) else f"feature {k}"
        there = column[~column.isnan()]
        if not len(there):
            raise DataError(
                f"{where}: {name} is empty, so its range is unknown.", SetKey("features"),
                Advice("leave the column out if the model does not need it"),
            )  # fmt: skip
        low, high = float(there.min()), float(there.max())
        if low == high:  # an API takes other numbers, too; at least the next whole one
            high = low + max(1.0, abs(low) / 100)
        features.append(Feature(name=name, low=low, high=high))
    return tuple(features)


def _check(rows: torch.Tensor, features: Sequence[Feature], where: str) -> None:
    if len(features) != rows.shape[1]:
        raise DataError(
            f"{where} has {rows.shape[1]} columns and {len(features)} features.",
            Advice("give one feature for each column"),
        )
    for feature, column in zip(features, rows.T, strict=True):
        low, high = (
            torch.tensor(feature.low),
            torch.tensor(feature.high),
        )  # as float32, like the rows
        there = column[~column.isnan()]
        whole = not feature.categories or bool((there == there.round()).all())
        if bool((there < low).any()) or bool((there > high).any()) or not whole:
            raise DataError(
                f"{where}: {feature.name} holds values outside its range {feature.low:g} to "
                f"{feature.high:g}" + (", which are its categories" if feature.categories else ""),
                Advice("correct the values, or the feature"),
            )


def check_table(name: str) -> None:
    """Refuse a name of no table, and a path without a file.

    Raises:
        SpecError: an unknown name.
        DataError: there is no such file.
    """
    path = at_home(name)
    if name in TABLES or path.is_file():
        return
    if not path.suffix:
        raise SpecError(
            suggest("table", name, list(TABLES)), Advice("give the path of a .csv or .npz file")
        )
    regular_file(path)


def load_table(
    name: str, split: Split, features: Sequence[Feature] | None = None,
    stated: StatedTable = NOTHING_STATED, *, incomplete: bool = False,
) -> LabelledInputs:  # fmt: skip
    """Load a table by name or from a user's own file.

    The test rows of a table of `TABLES` are 30 % of each class. A .csv or .parquet file has names
    of columns, and classes in the column `label`, or else in the one that is no column of the
    model, or else in the last one. An .npz file holds `inputs` (or `x`), numbers (n, d), and
    `labels` (or `y`), integers (n,); it may hold the names of the `features`, their `low` and
    `high` (d,), and the names of the `classes`. A file has the same rows for both splits.

    Args:
        name: a name of `TABLES`, or a path.
        split: "train" or "test".
        features: the range or the categories of each column; they override those of the file or
            the table.
        stated: what the model states of its columns and classes; columns are matched by name.
        incomplete: rows may have missing values, which are NaN.

    Raises:
        SpecError: an unknown name.
        DataError: the file is missing or damaged, does not fit the model, or a value is outside its
            feature's range.

    Example:
        >>> iris = load_table("iris", "test")
        >>> iris.inputs.shape, iris.classes
        (torch.Size([45, 4]), ('setosa', 'versicolor', 'virginica'))
    """
    check_table(name)
    if name not in TABLES:
        path = at_home(name)
        return table(
            **read_table_file(path, features, stated), stated=stated, incomplete=incomplete
        )
    from sklearn.model_selection import train_test_split

    data = table(**TABLES[name].read(), stated=stated)
    if features is not None:
        _check(data.inputs, features, name)
        data = replace(data, features=tuple(features))
    train, test = train_test_split(
        np.arange(len(data)), test_size=TEST_SHARE, random_state=SPLIT_SEED, stratify=data.labels
    )
    return data.take(torch.from_numpy(train if split == "train" else test))
