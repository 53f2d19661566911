"""Tables: rows of named features with a class each; scikit-learn's by name, a user's own by path.

Nothing here opens a pickle.
"""

import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from clonecost.data.catalogue import Split
from clonecost.errors import DataError, SpecError, suggest
from clonecost.types import Feature, LabelledInputs

SPLIT_SEED = 0
TEST_SHARE = 0.3  # as Tramèr et al. have it
DIABETES_THRESHOLD = 140  # disease progression after a year above this is class 1: half of the rows


@dataclass(frozen=True)
class TableCard:
    summary: str
    read: Callable[[], LabelledInputs]  # all rows


def table(
    inputs: ArrayLike, labels: ArrayLike, *, features: Sequence[Feature] | None = None,
    names: Sequence[str] = (), classes: Sequence[str] = (), name: str = "table",
) -> LabelledInputs:  # fmt: skip
    """Rows (n, d) of numbers and their (n,) labels 0, 1, 2 ... as test data of an audit.

    Args:
        features: what each column may hold; without them, numbers between the least and the
            greatest value that occurs here.
        names: of the columns, where there are no `features`.

    Raises:
        DataError: not a table of finite numbers, labels of another kind or length, a column that
            never changes and has no feature to say its range, or a value that its feature excludes.
    """
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
    if y.shape != (len(rows),) or not np.issubdtype(y.dtype, np.integer):
        raise DataError(f"{name} has labels of {y.dtype} {y.shape}; want {len(rows):,} integers")
    chosen = tuple(features) if features is not None else _ranges(rows, names, name)
    _check(rows, chosen, name)
    return LabelledInputs(
        rows, torch.from_numpy(y.astype(np.int64)), tuple(map(str, classes)), name, chosen
    )


def _ranges(rows: torch.Tensor, names: Sequence[str], where: str) -> tuple[Feature, ...]:
    found = []
    for k, (low, high) in enumerate(zip(rows.amin(0).tolist(), rows.amax(0).tolist(), strict=True)):
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


def load_table(name: str, split: Split) -> LabelledInputs:
    """One of `TABLES`, of which 30 % of each class are the test rows, or a user's own .npz file.

    A file holds `inputs` (or `x`), numbers (n, d), and `labels` (or `y`), integers (n,), and may
    hold the `features`' names, their `low` and `high` (d,), and the names of the `classes`. It has
    one set of rows, which is given for either split.

    Raises:
        SpecError: an unknown name.
        DataError: nothing there, or broken.
    """
    if name not in TABLES:
        path = Path(name).expanduser()
        if not path.suffix:
            raise SpecError(suggest("table", name, list(TABLES)) + "; or an .npz file")
        return _own(path)
    from sklearn.model_selection import train_test_split

    data = TABLES[name].read()
    train, test = train_test_split(
        np.arange(len(data)), test_size=TEST_SHARE, random_state=SPLIT_SEED, stratify=data.labels
    )
    return data.take(torch.from_numpy(train if split == "train" else test))


def _own(path: Path) -> LabelledInputs:
    if not path.is_file():
        raise DataError(f"there is no file {path}; check the path")
    if path.suffix != ".npz":
        raise DataError(f"{path} is of a kind that is not read as a table; give an .npz file")
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
    features = None
    if "low" in found and "high" in found:
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


# -- scikit-learn's own --------------------------------------------------------------------------


def _bundled(loader: str) -> LabelledInputs:
    from sklearn import datasets

    found = getattr(datasets, loader)()
    return table(
        found.data, found.target, names=found.feature_names, classes=found.target_names,
        name=loader.removeprefix("load_"),
    )  # fmt: skip


def _digits() -> LabelledInputs:
    from sklearn.datasets import load_digits

    found = load_digits()
    features = [Feature(name=name, low=0, high=16) for name in found.feature_names]
    return table(
        found.data, found.target, features=features, classes=found.target_names, name="digits-flat"
    )


def _diabetes() -> LabelledInputs:
    from sklearn.datasets import load_diabetes

    found = load_diabetes(scaled=False)
    above = (found.target > DIABETES_THRESHOLD).astype(np.int64)
    return table(
        found.data, above, names=found.feature_names, name="diabetes",
        classes=[f"up to {DIABETES_THRESHOLD}", f"above {DIABETES_THRESHOLD}"],
    )  # fmt: skip


def _made(maker: str, **settings: Any) -> Callable[[], LabelledInputs]:
    def read() -> LabelledInputs:
        from sklearn import datasets

        x, y = getattr(datasets, maker)(5_000, random_state=0, **settings)
        return table(x, y, name=maker.removeprefix("make_"))

    return read


TABLES: dict[str, TableCard] = {
    "iris": TableCard(
        "iris flowers: 150 rows, 4 numbers, 3 species", lambda: _bundled("load_iris")
    ),
    "wine": TableCard("wines: 178 rows, 13 numbers, 3 growers", lambda: _bundled("load_wine")),
    "breast_cancer": TableCard(
        "breast masses: 569 rows, 30 numbers, malignant or benign",
        lambda: _bundled("load_breast_cancer"),
    ),
    "digits-flat": TableCard("handwritten digits: 1,797 rows, 64 numbers, 10 classes", _digits),
    "diabetes": TableCard(
        f"diabetes: 442 rows, 10 numbers, disease progression above {DIABETES_THRESHOLD} or not",
        _diabetes,
    ),
    "moons": TableCard(
        "two half circles: 5,000 rows, 2 numbers, 2 classes", _made("make_moons", noise=0.2)
    ),
    "circles": TableCard(
        "a circle in a circle: 5,000 rows, 2 numbers, 2 classes",
        _made("make_circles", noise=0.1, factor=0.5),
    ),
    "blobs": TableCard("three clouds: 5,000 rows, 2 numbers, 3 classes", _made("make_blobs")),
}
