"""Boosted trees from their own files: LightGBM, XGBoost and CatBoost. None of them is a pickle.

Each becomes a `Booster`, which looks like a fitted scikit-learn classifier: `predict_proba`, names
of columns, and the values of categories.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clonecost.errors import Advice, VictimError
from clonecost.persistence.file_limits import regular_file
from clonecost.safe_text import first_line

Matrix = NDArray[np.float64]
OTHER_OBJECTIVE = "give a classifier: its objective is binary, multiclass or one against the rest"


@dataclass(frozen=True, kw_only=True, eq=False)
class Booster:
    """Boosted trees as a classifier of a table.

    Attributes:
        scores: (n, d) numbers, categories as their codes -> (n,) or (n, K) probabilities.
        outputs: K.
        classes_: the classes, where the file names them.
        known_categories: the values of each categorical column, in the order of their codes.
    """

    library: str
    scores: Callable[[Any], Any]
    outputs: int
    n_features_in_: int
    classes_: Any = ()
    feature_names_in_: tuple[str, ...] | None = None
    known_categories: dict[int, list[Any]] = field(default_factory=dict)
    codes: bool = True  # categories reach `scores` as codes, not as values

    def predict_proba(self, rows: Any) -> Matrix:
        """(n, d) rows, an array or a data frame -> (n, K) probabilities, rows sum to 1."""
        values = np.asarray(rows)
        if self.codes:
            values = np.stack(
                [self._coded(k, column) for k, column in enumerate(values.T)], 1
            ).astype(np.float64)
        p = np.asarray(self.scores(values), np.float64).reshape(len(values), -1)
        if p.shape[1] == 1:
            return np.concatenate([1 - p, p], 1)
        return np.asarray(p / p.sum(1, keepdims=True))  # one against the rest sums to anything

    def _coded(self, column: int, values: NDArray[Any]) -> NDArray[Any]:
        known = self.known_categories.get(column)
        if known is None or known == list(range(len(known))):
            return values
        code = {value: float(k) for k, value in enumerate(known)}
        return np.array([code.get(value, np.nan) for value in values.tolist()])


def booster(path: Path) -> Booster:
    """Load the classifier in a LightGBM, XGBoost or CatBoost file.

    Raises:
        VictimError: the library is missing, the file is another one or damaged, or the model is no
            classifier.

    Example:
        >>> booster(Path("model.txt")).predict_proba([[0.3, 1.2]])  # doctest: +SKIP
        array([[0.9, 0.1]])
    """
    regular_file(path)
    suffix = path.suffix.lower()
    load: Callable[[Path], Booster]
    if suffix in (".txt", ".lgb"):
        load, library = _lightgbm, "lightgbm"
    elif suffix == ".cbm" or (suffix == ".json" and _holds(path, b'"oblivious_trees"')):
        load, library = partial(_catboost, form=suffix[1:]), "catboost"
    else:
        load, library = _xgboost, "xgboost"
    try:
        return load(path)
    except VictimError:
        raise
    except ImportError as error:
        package = "xgboost-cpu" if library == "xgboost" else library
        extra = "" if library == "catboost" else " (extra trees)"
        raise VictimError(
            f"The package {library} is missing, which {path} needs",
            Advice(f"install it: pip install {package}{extra}"),
        ) from error
    except Exception as error:  # each library has errors of its own
        raise VictimError(
            f"{path} cannot be loaded as a model of {library}: {first_line(error)}",
            Advice(f"save the model with {library}'s own save_model"),
        ) from error


def _holds(path: Path, mark: bytes) -> bool:
    with path.open("rb") as file:
        return mark in file.read(1 << 20)


def _refused(path: Path, objective: str) -> VictimError:
    return VictimError(
        f"{path} is no classifier: its objective is {objective or 'unknown'}, and an audit "
        "measures how often a clone predicts the same class",
        Advice(OTHER_OBJECTIVE), got=objective or "none",
    )  # fmt: skip


def _lightgbm(path: Path) -> Booster:
    if not _holds(path, b"tree_sizes"):
        raise VictimError(
            f"{path} is no LightGBM model", Advice("save one with booster.save_model(FILE)")
        )
    import lightgbm

    model = lightgbm.Booster(model_file=str(path))
    told = model.dump_model(num_iteration=1)
    words = str(told.get("objective", "")).split()
    kind = words[0] if words else ""
    outputs = model.num_model_per_iteration()
    if kind in ("binary", "cross_entropy"):
        classes = 2
    elif kind in ("multiclass", "multiclassova"):
        classes = outputs
    else:
        raise _refused(path, kind)
    names = model.feature_name()
    return Booster(
        library="LightGBM", scores=partial(model.predict, num_threads=1),
        outputs=classes, n_features_in_=len(names),
        feature_names_in_=_given(names, "Column_"),
        known_categories=_categories(path, model, told["feature_infos"]),
    )  # fmt: skip


def _categories(path: Path, model: Any, infos: dict[str, Any]) -> dict[int, list[Any]]:
    """The values of each categorical column of a LightGBM model, in the order of their codes."""
    words = model.pandas_categorical or []
    if not words:  # codes themselves; a column that no tree can use has none
        codes = {
            k: infos.get(name, {}).get("values") for k, name in enumerate(model.feature_name())
        }
        return {k: list(range(max(some) + 1)) for k, some in codes.items() if some}
    columns = model.params.get("categorical_feature") or []
    if len(columns) != len(words):
        raise VictimError(
            f"{path} does not tell which columns its lists of categories belong to",
            Advice("fit the model with `categorical_feature='auto'`"),
            got=f"{len(words)} lists and {len(columns)} columns", want="as many",
        )  # fmt: skip
    return {column: list(some) for column, some in zip(sorted(columns), words, strict=True)}


def _xgboost(path: Path) -> Booster:
    import xgboost
    from scipy.special import expit, softmax

    model = xgboost.Booster({"nthread": 1})
    model.load_model(path)
    told = json.loads(model.save_config())["learner"]
    kind = told["objective"]["name"]
    count = int(told["learner_model_param"]["num_class"])
    if kind not in ("binary:logistic", "binary:logitraw", "multi:softprob", "multi:softmax"):
        raise _refused(path, kind)
    names, types = model.feature_names, model.feature_types

    def scores(rows: Matrix) -> Any:
        data = xgboost.DMatrix(rows, feature_names=names, feature_types=types, nthread=1)
        margins = model.predict(data, output_margin=True)
        return softmax(margins, 1) if margins.ndim > 1 else expit(margins)

    return Booster(
        library="XGBoost", scores=scores, outputs=max(2, count),
        n_features_in_=model.num_features(), feature_names_in_=_given(names or (), "f"),
    )  # fmt: skip


def _catboost(path: Path, form: str) -> Booster:
    import catboost

    model = catboost.CatBoostClassifier(thread_count=1)
    model.load_model(str(path), format=form)
    classes = np.asarray(model.classes_)
    if len(classes) < 2:
        raise _refused(path, str(model.get_all_params().get("loss_function", "")))
    names = model.feature_names_
    return Booster(
        library="CatBoost", scores=model.predict_proba, outputs=len(classes), classes_=classes,
        n_features_in_=len(names), feature_names_in_=_given(names, ""),
        codes=not model.get_cat_feature_indices(),
    )  # fmt: skip


def _given(names: Any, prefix: str) -> tuple[str, ...] | None:
    """The names of the columns; None if they are the library's own numbers."""
    own = [f"{prefix}{k}" for k in range(len(names))]
    return tuple(names) if len(names) and list(names) != own else None
