"""Pipelines that were fitted on a data frame, with categories in words."""

import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from clonecost.data.tables import table
from clonecost.errors import VictimError
from clonecost.types import Feature
from clonecost.victims import load_victim, sklearn_victim

FEATURES = (
    Feature(name="age", low=18, high=99), Feature(name="colour", categories=("red", "green")),
    Feature(name="income", low=0, high=200),
)  # fmt: skip


def frame(count: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({
        "age": rng.integers(18, 99, count), "colour": rng.choice(["red", "green"], count),
        "income": rng.normal(100, 20, count).astype(np.float32),
    })  # fmt: skip


def fitted(rows: Any) -> Any:
    """Columns by name in a data frame, by number in an array."""
    named = isinstance(rows, pd.DataFrame)
    words, numbers = (["colour"], ["age", "income"]) if named else ([1], [0, 2])
    bought = np.where(frame()["age"] + 30 * (frame()["colour"] == "red") > 70, "yes", "no")
    return make_pipeline(
        make_column_transformer(
            (make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()), words),
            (make_pipeline(SimpleImputer(), StandardScaler()), numbers),
        ),
        LogisticRegression(),
    ).fit(rows, bought)


@pytest.mark.parametrize("rows", [frame(), frame().to_numpy(dtype=object)], ids=["frame", "array"])
def test_the_pipeline_gets_what_it_was_fitted_on(rows: Any) -> None:
    pipeline = fitted(rows)
    data = table(frame(), np.zeros(len(frame()), int), features=FEATURES)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of names that are missing
        answers = sklearn_victim(pipeline, FEATURES)(data.inputs)
    assert np.array_equal(answers.numpy(), pipeline.predict_proba(rows))


def test_columns_are_matched_by_their_names() -> None:
    pipeline = fitted(frame())
    order = (FEATURES[2], FEATURES[0], FEATURES[1])
    data = table(frame(), np.zeros(len(frame()), int), features=order)
    answers = sklearn_victim(pipeline, order)(data.inputs)
    assert np.array_equal(answers.numpy(), pipeline.predict_proba(frame()))
    other = (*FEATURES[:2], Feature(name="salary"))
    with pytest.raises(VictimError, match="got age, colour, salary, want age, colour, income"):
        sklearn_victim(pipeline, other)


def test_features_without_names_are_matched_by_position() -> None:
    pipeline = fitted(frame())
    unnamed = tuple(replace(feature, name=f"feature {k}") for k, feature in enumerate(FEATURES))
    data = table(frame(), np.zeros(len(frame()), int), features=FEATURES)
    answers = sklearn_victim(pipeline, unnamed)(data.inputs)
    assert np.array_equal(answers.numpy(), pipeline.predict_proba(frame()))


@pytest.mark.parametrize("rows", [frame(), frame().to_numpy(dtype=object)], ids=["frame", "array"])
def test_a_missing_value_is_missing_for_the_pipeline(rows: Any) -> None:
    pipeline = fitted(rows)
    gaps = frame(3)
    gaps.loc[0, "colour"], gaps.loc[1, "age"] = np.nan, np.nan
    sent = table(frame(3), [0, 0, 0], features=FEATURES).inputs
    sent[0, 1], sent[1, 0] = torch.nan, torch.nan
    named = isinstance(rows, pd.DataFrame)
    expected = pipeline.predict_proba(gaps if named else gaps.to_numpy(dtype=object))
    assert np.array_equal(sklearn_victim(pipeline, FEATURES)(sent).numpy(), expected)


def test_a_number_that_is_no_category_is_a_victim_error() -> None:
    sent = table(frame(3), [0, 0, 0], features=FEATURES).inputs
    sent[0, 1] = 7
    with pytest.raises(VictimError, match=r"failed on inputs of shape \(3, 3\)"):
        sklearn_victim(fitted(frame()), FEATURES)(sent)


def test_an_estimator_of_numbers_under_names_needs_no_features() -> None:
    numbers = frame()[["age", "income"]]
    model = LogisticRegression().fit(numbers, numbers["age"] > 50)
    sent = torch.from_numpy(numbers.to_numpy(np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answers = sklearn_victim(model)(sent)
    assert np.array_equal(answers.numpy(), model.predict_proba(numbers))


def test_a_file_states_its_columns_and_classes(tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    skops.io.dump(fitted(frame()), path)
    found = load_victim(str(path), features=FEATURES)
    assert (found.input_shape, found.num_classes, found.classes) == ((3,), 2, ("no", "yes"))
    assert found.features == FEATURES
    own = load_victim(str(path)).features
    assert own is not None
    assert [feature.name for feature in own] == ["age", "colour", "income"]
    with pytest.raises(VictimError, match="got age, colour, want age, colour, income"):
        load_victim(str(path), features=FEATURES[:2])


def test_without_pandas_the_remedy_is_its_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = fitted(frame())
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(VictimError, match=r"pip install 'clonecost\[tabular\]'"):
        sklearn_victim(pipeline, FEATURES)
