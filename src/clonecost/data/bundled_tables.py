"""The tables that are installed with scikit-learn, by name; listing them does not import it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from clonecost.types import Feature

Read = Callable[[], dict[str, Any]]  # returns the arguments of `clonecost.data.tables.table`
DIABETES_THRESHOLD = 140  # disease progression after a year above this is class 1: half of the rows


@dataclass(frozen=True)
class TableCard:
    """A table by name: a summary of one line, and a function that reads all rows."""

    summary: str
    read: Read


def _bundled(loader: str) -> dict[str, Any]:
    from sklearn import datasets

    bunch = getattr(datasets, loader)()
    return {
        "inputs": bunch.data,
        "labels": bunch.target,
        "names": bunch.feature_names,
        "classes": bunch.target_names,
        "name": loader.removeprefix("load_"),
    }


def _digits() -> dict[str, Any]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    features = [Feature(name=name, low=0, high=16) for name in bunch.feature_names]
    return {
        "inputs": bunch.data,
        "labels": bunch.target,
        "features": features,
        "classes": bunch.target_names,
        "name": "digits-flat",
    }


def _diabetes() -> dict[str, Any]:
    from sklearn.datasets import load_diabetes

    bunch = load_diabetes(scaled=False)
    above = (bunch.target > DIABETES_THRESHOLD).astype("int64")
    return {
        "inputs": bunch.data,
        "labels": above,
        "names": bunch.feature_names,
        "name": "diabetes",
        "classes": [f"up to {DIABETES_THRESHOLD}", f"above {DIABETES_THRESHOLD}"],
    }


def _generated(maker: str, name: str = "", **settings: Any) -> Read:
    def read() -> dict[str, Any]:
        from sklearn import datasets

        x, y = getattr(datasets, maker)(5_000, random_state=0, **settings)
        return {"inputs": x, "labels": y, "name": name or maker.removeprefix("make_")}

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
        "two half circles: 5,000 rows, 2 numbers, 2 classes", _generated("make_moons", noise=0.2)
    ),
    "circles": TableCard(
        "a circle in a circle: 5,000 rows, 2 numbers, 2 classes",
        _generated("make_circles", noise=0.1, factor=0.5),
    ),
    "blobs": TableCard("three clouds: 5,000 rows, 2 numbers, 3 classes", _generated("make_blobs")),
    "clusters": TableCard(
        "six clusters in 50 numbers, of which 15 tell: 5,000 rows, 3 classes",
        _generated(
            "make_classification",
            "clusters",
            n_features=50,
            n_informative=15,
            n_redundant=10,
            n_classes=3,
        ),
    ),
}
