"""Rows of a table reach a model by the names and the values that it was fitted on."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from clonecost.config import load_table_parts, make_spec
from clonecost.data.tables import load_table
from clonecost.errors import DataError
from clonecost.tabular.features import uniform_rows
from clonecost.types import LabelledInputs
from clonecost.victims import LoadedVictim, load_victim
from clonecost.victims.answer_form import Outputs
from clonecost.victims.sklearn_model import TableModel

CLASSES: list[list[Any]] = [
    [0, 1, 2], [1, 2, 3], [-1, 1], [2, 4], [True, False], ["3", "1", "2"], ["bad", "good"],
    ["01", "02", "10"], [1.0, 2.0], ["None", "NA", "yes"], [10, 9, 100],
]  # fmt: skip
COLUMNS: dict[str, list[Any]] = {
    "code": [1, 2, 3], "zip": ["02139", "10001", "00501"], "plan": ["None", "NA", "full"],
    "level": [10, 20], "member": [True, False], "mixed": ["1", "2", "None"],
}  # fmt: skip


@st.composite
def problems(draw: st.DrawFn) -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    """A frame of numbers and categories, its labels, and the names of the categories."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    words = draw(st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=4, unique=True))
    classes = draw(st.sampled_from(CLASSES))
    count = 60
    columns: dict[str, Any] = {
        "size": rng.integers(0, 100, count),
        "weight": rng.normal(0, 1, count).round(3),
    }
    for name in words:
        known = pd.Series(COLUMNS[name])
        first = list(range(len(known)))  # every value occurs
        columns[name] = known.iloc[first + list(rng.integers(0, len(known), count - len(first)))]
        columns[name] = columns[name].to_numpy()
    frame = pd.DataFrame(columns)[draw(st.permutations(list(columns)))]
    labels = pd.Series(classes).iloc[
        [*range(len(classes)), *rng.integers(0, len(classes), count - len(classes))]
    ]
    return frame, labels.to_numpy(), words


def fitted(frame: pd.DataFrame, labels: np.ndarray, words: list[str]) -> Any:
    encoded = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder())
    parts = [("words", OneHotEncoder(), words[:1])]
    if words[1:]:
        whole = [name for name in words[1:] if frame[name].dtype.kind == "i"]
        others = [name for name in words[1:] if name not in whole]
        parts += [("whole", encoded, whole)] if whole else []
        parts += [("others", OrdinalEncoder(), others)] if others else []
    columns = ColumnTransformer(parts, remainder=StandardScaler())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make_pipeline(columns, LogisticRegression()).fit(frame, labels)


@dataclass(frozen=True)
class Problem:
    """A model, the rows and labels that it was fitted on, and the names of the categories."""

    model: Any
    frame: pd.DataFrame
    labels: np.ndarray
    words: list[str]


@st.composite
def fitted_problems(draw: st.DrawFn) -> Problem:
    frame, labels, words = draw(problems())
    return Problem(fitted(frame, labels, words), frame, labels, words)


@pytest.fixture(scope="module")
def rows_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rows") / "rows.csv"


def accuracy(victim: LoadedVictim, test: LabelledInputs) -> float:
    return float((victim.answer(test.inputs).argmax(1) == test.labels).double().mean())


def loaded(model: Any, path: Path) -> tuple[LoadedVictim, LabelledInputs]:
    table = TableModel(model)
    test = load_table(str(path), "test", stated=table.stated)
    victim = LoadedVictim(name="m", answer=table.answering(None), table=table)
    return victim.fitted_to(test.features), test


@settings(max_examples=40)
@given(problem=fitted_problems(), data=st.data())
def test_the_accuracy_is_the_score_of_the_model(
    problem: Problem, data: st.DataObject, rows_csv: Path
) -> None:
    frame, labels, model = problem.frame, problem.labels, problem.model
    top = sorted(set(labels.tolist()))[-1]
    kept = labels != top if data.draw(st.booleans()) else np.full(len(labels), True)
    rows, there = frame[kept], labels[kept]
    order = data.draw(st.permutations([*frame.columns, "label"]))
    rows.assign(label=there)[order].to_csv(rows_csv, index=data.draw(st.booleans()))
    victim, test = loaded(model, rows_csv)
    assert accuracy(victim, test) == pytest.approx(model.score(rows, there), abs=1e-9)
    # What an attack draws are values that the encoders know: none raises, and all are answered.
    assert test.features is not None
    drawn = uniform_rows(test.features, 50, torch.Generator().manual_seed(0))
    assert victim.answer(drawn).shape == (50, len(set(labels.tolist())))
    for name in problem.words:
        feature = next(one for one in test.features if one.name == name)
        assert sorted(feature.categories) == sorted(map(str, COLUMNS[name]))


@settings(max_examples=20)
@given(problem=fitted_problems(), data=st.data())
def test_a_renamed_column_or_a_foreign_word_is_refused_by_its_name(
    problem: Problem, data: st.DataObject, rows_csv: Path
) -> None:
    frame, labels, model, path = problem.frame, problem.labels, problem.model, rows_csv
    name = data.draw(st.sampled_from(list(frame.columns)))
    other = name.upper() if data.draw(st.booleans()) else "other"
    frame.assign(label=labels).rename(columns={name: other}).to_csv(path, index=False)
    with pytest.raises(DataError, match=f"no column '{name}'.*{other}"):
        loaded(model, path)
    foreign = labels.astype(object)
    foreign[0] = "approved"
    frame.assign(label=foreign).to_csv(path, index=False)
    with pytest.raises(DataError, match="no classes of the model: approved"):
        loaded(model, path)
    frame.assign(label=labels).to_csv(path, index=False, header=False)
    with pytest.raises(DataError, match="has no header"):
        loaded(model, path)


@pytest.mark.parametrize(
    ("model", "rows"),
    [
        ("labels123", "labels123"), ("labels123", "labels123_without_3"),
        ("one_hot_int", "one_hot_int"), ("none_word", "none_word"), ("people", "people"),
    ],
)  # fmt: skip
def test_the_accuracy_of_a_case_is_its_score(model: str, rows: str, cases: Path) -> None:
    own = {"victim": f"{cases}/{model}.skops", "test": f"{cases}/{rows}.csv"}
    spec = make_spec(own, attacks=False)
    victim, test = load_table_parts(spec)
    assert victim is not None
    assert accuracy(victim, test) == pytest.approx(
        float((cases / f"{model}.score").read_text()), abs=1e-6
    )


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ("renamed", r"no column 'age', 'income', 'years'; it has Years, Income, Age.*'Age' for"),
        ("headerless", "no header: its first line, 70, 31.2, 5, bad, .*age, income, years, label"),
        ("foreign_words", "labels are approved, denied; the model's classes are bad, good"),
    ],
)
def test_a_case_that_does_not_fit_is_refused_with_both_sides(
    rows: str, sentence: str, cases: Path
) -> None:
    own = {"victim": f"{cases}/people.skops", "test": f"{cases}/{rows}.csv"}
    spec = make_spec(own, attacks=False)
    with pytest.raises(DataError, match=sentence):
        load_table_parts(spec)


def test_what_an_estimator_gives_is_kept_for_the_rows_of_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An owner's word, or a missing predict_proba; one-hot rows alone look like probabilities."""
    (tmp_path / "own_svc.py").write_text(
        "from sklearn.datasets import load_iris\nfrom sklearn.svm import SVC\n"
        "from sklearn.tree import DecisionTreeClassifier\nrows = load_iris(return_X_y=True)\n"
        "model, tree = SVC().fit(*rows), DecisionTreeClassifier().fit(*rows)\n"
    )
    monkeypatch.chdir(tmp_path)
    test = load_table("iris", "test")
    cases: tuple[tuple[str, Outputs | None], ...] = (("model", None), ("tree", "label"))
    for name, stated in cases:
        victim = load_victim(f"own_svc:{name}", outputs=stated).fitted_to(test.features)
        victim.answer(test.inputs)
        form = victim.form()
        assert form is not None
        assert (form.outputs, form.num_classes) == ("label", 3)
        assert victim.shows() == ("label", None)
    victim = load_victim("own_svc:tree").fitted_to(test.features)
    victim.answer(test.inputs)
    assert "probabilities" in victim.format
