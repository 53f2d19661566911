"""What fitted estimators state of their columns, and which are refused by name."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest, VotingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler, TargetEncoder
from sklearn.tree import DecisionTreeClassifier

from clonecost.data.tables import table
from clonecost.errors import DataError, VictimError
from clonecost.types import Feature
from clonecost.victims import sklearn_victim
from clonecost.victims.estimator_columns import fitted_columns, stated_table

RNG = np.random.default_rng(0)
FRAME = pd.DataFrame({
    "age": RNG.integers(18, 80, 120), "code": RNG.permutation(np.tile([2, 4, 7], 40)),
})  # fmt: skip
LABELS = np.where(FRAME.age + FRAME.code > 50, "yes", "no")


def pipeline(which: Any = ("code",), unknown: str = "error") -> Any:
    """The whole numbers of `code` are categories; they may be chosen by name, place or mask."""
    encoder = OneHotEncoder(handle_unknown=unknown)
    chosen = list(which) if isinstance(which, tuple) else which
    columns = make_column_transformer((encoder, chosen), remainder=StandardScaler())
    return make_pipeline(columns, LogisticRegression(max_iter=500))


@pytest.mark.parametrize(
    "model",
    [
        pipeline(), pipeline(["code"]), pipeline((1,)), pipeline(slice(1, 2)),
        pipeline([False, True]), pipeline(lambda frame: ["code"]),
        CalibratedClassifierCV(pipeline(), cv=2),
        VotingClassifier([("a", pipeline())], voting="soft"),
        GridSearchCV(pipeline(), {"logisticregression__C": [1.0]}, cv=2),
        HistGradientBoostingClassifier(max_iter=3, categorical_features=["code"]),
    ],
    ids=["tuple", "list", "place", "slice", "mask", "function", "calibrated", "vote",
         "grid", "boost"],
)  # fmt: skip
def test_whole_number_categories_are_found_and_sent_as_they_are(model: Any) -> None:
    model.fit(FRAME, LABELS)
    stated = stated_table(model)
    assert stated.names == ("age", "code")
    assert stated.categories[1] == ("2", "4", "7")
    assert stated.classes == ("no", "yes")
    rows = table(FRAME, LABELS, stated=stated)
    assert rows.features is not None
    assert rows.features[1] == Feature(name="code", categories=("2", "4", "7"))
    answers = sklearn_victim(model, rows.features)(rows.inputs).numpy()
    assert np.array_equal(answers, model.predict_proba(FRAME))


def test_an_array_of_codes_stays_an_array_of_numbers() -> None:
    numbers = FRAME.to_numpy(dtype=float)
    model = pipeline((1,)).fit(numbers, LABELS)
    rows = table(numbers, LABELS, stated=stated_table(model))
    assert rows.features is not None
    assert rows.features[1].categories == ("2", "4", "7")
    answers = sklearn_victim(model, rows.features)(rows.inputs).numpy()
    assert np.array_equal(answers, model.predict_proba(numbers))
    with pytest.raises(DataError, match=r"another number of columns.*got 1, want 2"):
        table(numbers[:, :1], LABELS, stated=stated_table(model))


def test_values_that_an_encoder_ignores_are_added_and_others_are_refused() -> None:
    odd = FRAME.assign(code=np.where(FRAME.code == 2, 3, FRAME.code))
    open_model = pipeline(unknown="ignore").fit(FRAME, LABELS)
    rows = table(odd, LABELS, stated=stated_table(open_model))
    assert rows.features is not None
    assert rows.features[1].categories == ("2", "4", "7", "3")
    answers = sklearn_victim(open_model, rows.features)(rows.inputs).numpy()
    assert np.array_equal(answers, open_model.predict_proba(odd))
    closed = pipeline().fit(FRAME, LABELS)
    with pytest.raises(DataError, match=r"code holds '3', which is none of its categories 2, 4, 7"):
        table(odd, LABELS, stated=stated_table(closed))


def test_a_range_for_a_category_is_refused() -> None:
    model = pipeline().fit(FRAME, LABELS)
    features = (Feature(name="age", low=0, high=99), Feature(name="code", low=0, high=9))
    sentence = r"code has a range.*values 2, 4, 7"
    with pytest.raises(VictimError, match=sentence):
        sklearn_victim(model, features)
    with pytest.raises(DataError, match=sentence):
        table(FRAME, LABELS, features=features, stated=stated_table(model))


def test_features_of_some_columns_leave_the_others_to_the_rows() -> None:
    model = pipeline().fit(FRAME, LABELS)
    rows = table(
        FRAME, LABELS, features=[Feature(name="age", low=0, high=99)], stated=stated_table(model)
    )
    assert rows.features is not None
    assert [feature.high for feature in rows.features] == [99, 2]


def test_encoders_behind_a_scaler_know_no_values_of_columns() -> None:
    model = make_pipeline(StandardScaler(), OneHotEncoder(), LogisticRegression())
    assert not fitted_columns(model.fit(FRAME[["code"]], LABELS)).values


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (LinearRegression(), "LinearRegression is a regressor, and a regressor has no classes"),
        (make_pipeline(StandardScaler(), LinearRegression()), "a regressor has no classes"),
        (KMeans(2, n_init=1), "a clusterer has no classes"),
        (IsolationForest(n_estimators=3), "an? outlier detector has no classes"),
    ],
)  # fmt: skip
def test_what_has_no_classes_is_refused_by_that_name(model: Any, sentence: str) -> None:
    model.fit(FRAME, np.arange(120.0))
    with pytest.raises(VictimError, match=sentence):
        sklearn_victim(model)
    with pytest.raises(VictimError, match=sentence):
        stated_table(model)


def test_several_outputs_are_refused() -> None:
    model = DecisionTreeClassifier().fit(FRAME, np.stack([LABELS, LABELS], 1))
    with pytest.raises(VictimError, match="answers 2 questions at once"):
        sklearn_victim(model)


def test_a_gap_names_its_key_only_if_the_model_takes_gaps() -> None:
    gaps = FRAME.astype({"age": float})
    gaps.loc[6, "age"] = np.nan
    strict = LogisticRegression(max_iter=500).fit(FRAME, LABELS)
    with pytest.raises(DataError, match="the first is age in row 7, and the model does not") as one:
        table(gaps, LABELS, stated=stated_table(strict))
    assert "incomplete" not in str(one.value)
    boost = HistGradientBoostingClassifier(max_iter=3).fit(FRAME, LABELS)
    with pytest.raises(DataError, match=r"in 1 of 120 rows; .*age in row 7.*`incomplete=True`"):
        table(gaps, LABELS, stated=stated_table(boost))
    rows = table(gaps, LABELS, stated=stated_table(boost), incomplete=True)
    answers = sklearn_victim(boost, rows.features)(rows.inputs).numpy()
    assert np.array_equal(answers, boost.predict_proba(gaps))


def test_a_type_of_categories_in_a_frame() -> None:
    frame = FRAME.assign(code=FRAME["code"].astype("category"))
    model = HistGradientBoostingClassifier(max_iter=3, categorical_features="from_dtype")
    model.fit(frame, LABELS)
    rows = table(frame, LABELS, stated=stated_table(model))
    answers = sklearn_victim(model, rows.features)(rows.inputs)
    assert np.array_equal(answers.numpy(), model.predict_proba(frame))
    assert torch.equal(rows.inputs[:, 1].unique(), torch.tensor([0.0, 1, 2]))


def test_an_encoder_without_a_choice_takes_other_values() -> None:
    encoder = TargetEncoder()
    model = make_pipeline(encoder, LogisticRegression()).fit(FRAME[["code"]], LABELS)
    assert fitted_columns(model).open == {0}
    model.predict(pd.DataFrame({"code": [3]}))  # no category of the fit, and no error
