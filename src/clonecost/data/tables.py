"""Tables: rows of named features with labels; scikit-learn's by name, a user's own by path.

Nothing here opens a pickle.
"""

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from clonecost.data.bundled_tables import TABLES
from clonecost.data.catalogue import Split
from clonecost.data.frames import numbered, read_csv
from clonecost.errors import Advice, DataError, SpecError, suggest
from clonecost.types import Feature, LabelledInputs

if TYPE_CHECKING:
    from pandas import DataFrame

SPLIT_SEED = 0
TEST_SHARE = 0.3  # as in Tramèr et al., USENIX Security 2016


def table(
    inputs: "ArrayLike | DataFrame", labels: ArrayLike, *,
    features: Sequence[Feature] | None = None, names: Sequence[str] = (),
    classes: Sequence[str] = (), name: str = "table",
) -> LabelledInputs:  # fmt: skip
    """Rows (n, d) and their (n,) labels as test data or proxy data of an audit.

    Rows are finite numbers, or a pandas data frame, whose words are categories. Labels are 0, 1,
    2 ..., or words, which are numbered in sorted order, as by scikit-learn.

    Args:
        features: the range or the categories of each column, and the choice of a data frame's
            columns; without them, the range is that of the values here, and the categories are the
            words that occur here.
        names: names of the columns, if there are no `features`.
        classes: names of the classes, in the order of the labels.
        name: the table's name, for reports and messages.

    Returns:
        float32 inputs (n, d), int64 labels (n,), and a feature for each column.

    Raises:
        DataError: the rows are no table of finite numbers, the labels have another kind or length,
            a constant column has no feature, or a value is outside its feature's range.

    Example:
        >>> rows = table([[5.1, 0], [6.2, 1]], ["no", "yes"], names=["length", "wide"])
        >>> rows.labels.tolist(), rows.classes, rows.features[0].high
        ([0, 1], ('no', 'yes'), 6.199999809265137)
    """
    known: list[Feature | None] = []
    if hasattr(inputs, "columns"):
        frame = cast("DataFrame", inputs)
        names = [str(column) for column in frame.columns]
        inputs, known = numbered(frame, features, name)
    values = np.asarray(inputs)
    if values.ndim != 2 or not np.issubdtype(values.dtype, np.number) or not values.size:
        raise DataError(
            f"{name} has inputs of shape {values.shape} and {values.dtype}; want a table (n, d) of "
            "numbers.",
            Advice("encode categories as 0, 1, 2 ..., or pass a data frame"),
        )
    if not np.isfinite(values).all():
        raise DataError(
            f"{name} has values that are not finite.", Advice("replace missing values first")
        )
    rows = torch.from_numpy(values.astype(np.float32))
    y = np.asarray(labels)
    if y.ndim == 1 and len(y) and all(isinstance(label, str) for label in y.tolist()):
        words, y = np.unique(y.astype(str), return_inverse=True)
        classes = classes or words.tolist()
    elif y.dtype == bool:
        y = y.astype(np.int64)
    if y.shape != (len(rows),) or not np.issubdtype(y.dtype, np.integer):
        raise DataError(
            f"{name} has labels of {y.dtype} {y.shape}; want {len(rows):,} integers.",
            Advice("give a label for each row, and all as integers or all as words"),
        )
    chosen = tuple(features) if features is not None else _ranges(rows, names, known, name)
    _check(rows, chosen, name)
    return LabelledInputs(
        rows, torch.from_numpy(y.astype(np.int64)), tuple(map(str, classes)), name, chosen
    )


def _ranges(
    rows: torch.Tensor, names: Sequence[str], known: Sequence[Feature | None], where: str
) -> tuple[Feature, ...]:
    """The `known` features, and for the other columns the ranges of the rows."""
    features = []
    for k, (low, high) in enumerate(zip(rows.amin(0).tolist(), rows.amax(0).tolist(), strict=True)):
        if k < len(known) and (feature := known[k]):
            features.append(feature)
            continue
        name = str(names[k]) if k < len(names) else f"feature {k}"
        if low == high:
            raise DataError(
                f"{where}: {name} is always {low:g}, so its range is unknown.",
                Advice("leave the column out, or give the features their `low` and `high`"),
            )
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
        whole = not feature.categories or bool((column == column.round()).all())
        if bool((column < low).any()) or bool((column > high).any()) or not whole:
            raise DataError(
                f"{where}: {feature.name} holds values outside its range {feature.low:g} to "
                f"{feature.high:g}" + (", which are its categories" if feature.categories else ""),
                Advice("correct the values, or the feature"),
            )


def load_table(
    name: str, split: Split, features: Sequence[Feature] | None = None
) -> LabelledInputs:
    """Load a table by name or from a user's own file.

    The test rows of a table of `TABLES` are 30 % of each class. A .csv file has a header, and
    classes in the column `label` or else in the last one. An .npz file holds `inputs` (or `x`),
    numbers (n, d), and `labels` (or `y`), integers (n,); it may hold the names of the `features`,
    their `low` and `high` (d,), and the names of the `classes`. A file has the same rows for both
    splits.

    Args:
        name: a name of `TABLES`, or a path.
        split: "train" or "test".
        features: the range or the categories of each column; they override those of the file or
            the table.

    Raises:
        SpecError: an unknown name.
        DataError: the file is missing or damaged, or a value is outside its feature's range.

    Example:
        >>> iris = load_table("iris", "test")
        >>> iris.inputs.shape, iris.classes
        (torch.Size([45, 4]), ('setosa', 'versicolor', 'virginica'))
    """
    if name not in TABLES:
        path = Path(name).expanduser()
        if not path.suffix:
            raise SpecError(
                suggest("table", name, list(TABLES)), Advice("give the path of a .csv or .npz file")
            )
        return _user_file(path, features)
    from sklearn.model_selection import train_test_split

    data = table(**TABLES[name].read())
    if features is not None:
        _check(data.inputs, features, name)
        data = replace(data, features=tuple(features))
    train, test = train_test_split(
        np.arange(len(data)), test_size=TEST_SHARE, random_state=SPLIT_SEED, stratify=data.labels
    )
    return data.take(torch.from_numpy(train if split == "train" else test))


def numbered_as(data: LabelledInputs, classes: Sequence[str]) -> LabelledInputs:
    """The data with labels numbered in the order of `classes`, if these contain all its classes.

    Words are numbered by the classes that occur: in test rows without one of the victim's classes,
    the numbers differ from the victim's.
    """
    if not set(data.classes) <= set(classes):  # other names for the same numbers
        return data
    numbers = torch.tensor([classes.index(name) for name in data.classes], dtype=torch.int64)
    labels = numbers[data.labels] if len(numbers) else data.labels
    return replace(data, labels=labels, classes=tuple(classes))


def _user_file(path: Path, features: Sequence[Feature] | None) -> LabelledInputs:
    if not path.is_file():
        raise DataError(f"there is no file {path}.", Advice("check the path"))
    if path.suffix == ".csv":
        frame, y = read_csv(path)
        return table(frame, y, features=features, name=str(path))
    if path.suffix != ".npz":
        raise DataError(
            f"{path} is not in a format that is read here.", Advice("give a .csv or .npz file")
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays: dict[str, NDArray[Any]] = {key: file[key] for key in file.files}
    except (ValueError, TypeError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{path} cannot be read ({error}).",
            Advice("save plain numeric arrays with numpy.savez"),
        ) from error
    inputs = arrays.get("inputs", arrays.get("x"))
    labels = arrays.get("labels", arrays.get("y"))
    if inputs is None or labels is None:
        missing = "inputs" if inputs is None else "labels"
        raise DataError(
            f"{path} has no array called {missing}.", Advice("rename one of its arrays")
        )
    names = [str(name) for name in arrays.get("features", ())]
    if features is None and "low" in arrays and "high" in arrays:
        try:
            features = tuple(
                Feature(name=names[k] if k < len(names) else f"feature {k}", low=low, high=high)
                for k, (low, high) in enumerate(
                    zip(arrays["low"].tolist(), arrays["high"].tolist(), strict=True)
                )
            )
        except (ValueError, TypeError) as error:
            raise DataError(
                f"{path}: low and high are no ranges: {error}.",
                Advice("save one `low` and one larger `high` for each column"),
            ) from error
    return table(
        inputs, labels, features=features, names=names, name=str(path),
        classes=[str(name) for name in arrays.get("classes", ())],
    )  # fmt: skip
