"""Tables: rows of named features with a class each; scikit-learn's by name, a user's own by path.

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
from clonecost.errors import DataError, SpecError, suggest
from clonecost.types import Feature, LabelledInputs

if TYPE_CHECKING:
    from pandas import DataFrame

SPLIT_SEED = 0
TEST_SHARE = 0.3  # as Tramèr et al. have it


def table(
    inputs: "ArrayLike | DataFrame", labels: ArrayLike, *,
    features: Sequence[Feature] | None = None, names: Sequence[str] = (),
    classes: Sequence[str] = (), name: str = "table",
) -> LabelledInputs:  # fmt: skip
    """Rows (n, d) and their (n,) labels as test data of an audit.

    Rows are numbers, or a pandas data frame, whose words are categories. Labels are 0, 1, 2 ..., or
    words, which are numbered in their sorted order, as scikit-learn does it.

    Args:
        features: what each column may hold, and which of a data frame's columns; without them,
            numbers between the least and the greatest value that occurs here, and the words that
            occur.
        names: of the columns, where there are no `features`.

    Raises:
        DataError: not a table of finite numbers, labels of another kind or length, a column that
            never changes and has no feature to say its range, or a value that its feature excludes.
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
            "numbers, categories as 0, 1, 2 ..."
        )
    if not np.isfinite(values).all():
        raise DataError(f"{name} has values that are not finite; fill the gaps first")
    rows = torch.from_numpy(values.astype(np.float32))
    y = np.asarray(labels)
    if y.ndim == 1 and len(y) and all(isinstance(label, str) for label in y.tolist()):
        words, y = np.unique(y.astype(str), return_inverse=True)
        classes = classes or words.tolist()
    elif y.dtype == bool:
        y = y.astype(np.int64)
    if y.shape != (len(rows),) or not np.issubdtype(y.dtype, np.integer):
        raise DataError(f"{name} has labels of {y.dtype} {y.shape}; want {len(rows):,} integers")
    chosen = tuple(features) if features is not None else _ranges(rows, names, known, name)
    _check(rows, chosen, name)
    return LabelledInputs(
        rows, torch.from_numpy(y.astype(np.int64)), tuple(map(str, classes)), name, chosen
    )


def _ranges(
    rows: torch.Tensor, names: Sequence[str], known: Sequence[Feature | None], where: str
) -> tuple[Feature, ...]:
    """`known` features as they are, the others' ranges from the rows."""
    found = []
    for k, (low, high) in enumerate(zip(rows.amin(0).tolist(), rows.amax(0).tolist(), strict=True)):
        if k < len(known) and (feature := known[k]):
            found.append(feature)
            continue
        name = str(names[k]) if k < len(names) else f"feature {k}"
        if low == high:
            raise DataError(
                f"{where}: {name} is always {low:g}, which says nothing of its range; give the "
                "features their `low` and `high`"
            )
        found.append(Feature(name=name, low=low, high=high))
    return tuple(found)


def _check(rows: torch.Tensor, features: Sequence[Feature], where: str) -> None:
    if len(features) != rows.shape[1]:
        raise DataError(f"{where} has {rows.shape[1]} columns and {len(features)} features")
    for feature, column in zip(features, rows.T, strict=True):
        low, high = torch.tensor(feature.low), torch.tensor(feature.high)  # as float32, like them
        whole = not feature.categories or bool((column == column.round()).all())
        if bool((column < low).any()) or bool((column > high).any()) or not whole:
            raise DataError(
                f"{where}: {feature.name} holds values outside its range {feature.low:g} to "
                f"{feature.high:g}" + (", which are its categories" if feature.categories else "")
            )


def load_table(
    name: str, split: Split, features: Sequence[Feature] | None = None
) -> LabelledInputs:
    """One of `TABLES`, of which 30 % of each class are the test rows, or a user's own file.

    A .csv file has a header, and classes in the column `label` or else in the last one. An .npz
    file holds `inputs` (or `x`), numbers (n, d), and `labels` (or `y`), integers (n,), and may hold
    the `features`' names, their `low` and `high` (d,), and the names of the `classes`. A file has
    one set of rows, which is given for either split.

    Args:
        features: what each column may hold, before what the file or the table itself says.

    Raises:
        SpecError: an unknown name.
        DataError: nothing there, or broken, or values that the features exclude.
    """
    if name not in TABLES:
        path = Path(name).expanduser()
        if not path.suffix:
            raise SpecError(suggest("table", name, list(TABLES)) + "; or a .csv or .npz file")
        return _own(path, features)
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
    """The same with its labels numbered as `classes` are, if they hold the names of all of them.

    Test rows in which a class does not occur number the others wrongly.
    """
    if not set(data.classes) <= set(classes):  # other names for the same numbers
        return data
    places = torch.tensor([classes.index(name) for name in data.classes], dtype=torch.int64)
    labels = places[data.labels] if len(places) else data.labels
    return replace(data, labels=labels, classes=tuple(classes))


def _own(path: Path, features: Sequence[Feature] | None) -> LabelledInputs:
    if not path.is_file():
        raise DataError(f"there is no file {path}; check the path")
    if path.suffix == ".csv":
        frame, y = read_csv(path)
        return table(frame, y, features=features, name=str(path))
    if path.suffix != ".npz":
        raise DataError(f"{path} is no kind of table that is read here; give a .csv or .npz file")
    try:
        with np.load(path, allow_pickle=False) as file:
            found: dict[str, NDArray[Any]] = {key: file[key] for key in file.files}
    except (ValueError, TypeError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{path} cannot be read ({error}); save plain numeric arrays with numpy.savez"
        ) from error
    inputs = found.get("inputs", found.get("x"))
    labels = found.get("labels", found.get("y"))
    if inputs is None or labels is None:
        missing = "inputs" if inputs is None else "labels"
        raise DataError(f"{path} has no array called {missing}; name one of them so")
    names = [str(name) for name in found.get("features", ())]
    if features is None and "low" in found and "high" in found:
        try:
            features = tuple(
                Feature(name=names[k] if k < len(names) else f"feature {k}", low=low, high=high)
                for k, (low, high) in enumerate(
                    zip(found["low"].tolist(), found["high"].tolist(), strict=True)
                )
            )
        except (ValueError, TypeError) as error:
            raise DataError(f"{path}: low and high are no ranges: {error}") from error
    return table(
        inputs, labels, features=features, names=names, name=str(path),
        classes=[str(name) for name in found.get("classes", ())],
    )  # fmt: skip
