"""LightGBM, XGBoost and CatBoost from their own files."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clonecost.config import load_table_parts
from clonecost.config.schema import Spec
from clonecost.errors import CloneCostError, VictimError
from clonecost.victims import load_victim
from clonecost.victims.boosters import booster

lightgbm = pytest.importorskip("lightgbm")
RNG = np.random.default_rng(0)
X = RNG.random((120, 3))
Y = (X[:, 0] > 0.5).astype(int) + (X[:, 1] > 0.6)
SMALL: dict[str, Any] = {"n_estimators": 3, "n_jobs": 1}


def of_lightgbm(folder: Path, **settings: Any) -> Path:
    labels = Y if settings.pop("classes", 3) == 3 else Y > 0
    quiet = {"verbose": -1, "min_child_samples": 5, **SMALL, **settings}
    model = lightgbm.LGBMClassifier(**quiet).fit(X, labels)
    model.booster_.save_model(str(folder / "model.txt"))
    return folder / "model.txt"


@pytest.mark.parametrize(
    ("objective", "classes"), [("binary", 2), ("multiclass", 3), ("multiclassova", 3)]
)
def test_a_lightgbm_file_answers_as_its_model_does(
    objective: str, classes: int, tmp_path: Path
) -> None:
    path = of_lightgbm(tmp_path, objective=objective, classes=classes)
    victim = load_victim(str(path))
    raw = lightgbm.Booster(model_file=str(path)).predict(X)
    raw = np.stack([1 - raw, raw], 1) if classes == 2 else raw / raw.sum(1, keepdims=True)
    answers = victim.answer(torch.from_numpy(X).float()).numpy()
    assert (victim.num_classes, victim.input_shape) == (classes, (3,))
    assert np.allclose(answers, raw, atol=1e-12)
    assert answers.dtype == np.float64


def test_an_xgboost_file_answers_as_its_model_does(tmp_path: Path) -> None:
    xgboost = pytest.importorskip("xgboost")
    for labels in (Y, Y > 0):
        model = xgboost.XGBClassifier(**SMALL).fit(X, labels)
        for name in ("model.json", "model.ubj"):
            model.save_model(tmp_path / name)
            victim = load_victim(str(tmp_path / name))
            answers = victim.answer(torch.from_numpy(X).float()).numpy()
            assert np.allclose(answers, model.predict_proba(X), atol=1e-6)


def test_a_catboost_file_answers_as_its_model_does(tmp_path: Path) -> None:
    catboost = pytest.importorskip("catboost", reason="CatBoost has 97 MB and is not installed")
    model = catboost.CatBoostClassifier(iterations=3, verbose=0, allow_writing_files=False)
    model.fit(X, Y)
    for form in ("cbm", "json"):
        path = tmp_path / f"model.{form}"
        model.save_model(str(path), format=form)
        answers = load_victim(str(path)).answer(torch.from_numpy(X).float()).numpy()
        assert np.allclose(answers, model.predict_proba(X), atol=1e-6)


def test_categories_in_words_and_missing_values_reach_lightgbm(tmp_path: Path) -> None:
    """A CSV with words and gaps, and a model that was fitted on such a data frame."""
    pandas = pytest.importorskip("pandas")
    colours = np.array(["blue", "green", "red"])[RNG.integers(0, 3, len(X))]
    frame = pandas.DataFrame({"mean size": X[:, 0], "colour": pandas.Categorical(colours)})
    frame.loc[:30, "mean size"] = np.nan
    labels = (colours == "red") | (X[:, 0] > 0.7)
    model = lightgbm.LGBMClassifier(verbose=-1, min_child_samples=5, **SMALL).fit(frame, labels)
    model.booster_.save_model(str(tmp_path / "model.txt"))
    frame.assign(label=np.where(labels, "yes", "no")).to_csv(tmp_path / "rows.csv", index=False)
    spec = Spec(
        victim=str(tmp_path / "model.txt"), test=str(tmp_path / "rows.csv"),
        attack=["threshold_harvest"], incomplete=True,
    )  # fmt: skip
    victim, rows = load_table_parts(spec)
    assert victim is not None
    assert rows.features is not None
    assert [one.name for one in rows.features] == ["mean_size", "colour"]
    assert rows.features[1].categories == ("blue", "green", "red")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        truth = model.predict_proba(frame.astype({"mean size": np.float32}))
    assert np.allclose(victim.answer(rows.inputs).numpy(), truth, atol=1e-12)


def test_numbers_as_categories_and_a_column_without_use_keep_their_codes(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    sizes = np.array([3, 5, 7])[RNG.integers(0, 3, len(X))]
    same = pandas.Categorical(["z"] * len(X), categories=["y", "z"])
    frame = pandas.DataFrame({"same": same, "x": X[:, 0], "size": pandas.Categorical(sizes)})
    model = lightgbm.LGBMClassifier(verbose=-1, min_child_samples=5, **SMALL)
    model.fit(frame, (sizes == 7) | (X[:, 0] > 0.7)).booster_.save_model(tmp_path / "model.txt")
    found = booster(tmp_path / "model.txt")
    assert found.known_categories == {0: ["y", "z"], 2: [3, 5, 7]}
    answers = found.predict_proba(frame.astype(object))
    assert np.allclose(answers, model.predict_proba(frame), atol=1e-12)


@pytest.mark.parametrize("objective", ["regression", "lambdarank"])
def test_a_file_that_is_no_classifier_is_refused_with_its_objective(
    objective: str, tmp_path: Path
) -> None:
    path = of_lightgbm(tmp_path, objective="binary", classes=2)
    path.write_text(
        path.read_text().replace("objective=binary sigmoid:1", f"objective={objective}")
    )
    with pytest.raises(VictimError, match=rf"no classifier: its objective is {objective}"):
        load_victim(str(path))


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("notes.txt", "Dear diary", "is no LightGBM model"),
        ("config.json", "{}", "cannot be loaded as a model of xgboost"),
        ("missing.txt", None, "no file|not there|is missing"),
    ],
)
def test_a_file_of_something_else_is_refused_in_a_sentence(
    name: str, content: str | None, sentence: str, tmp_path: Path
) -> None:
    if name.endswith("json"):
        pytest.importorskip("xgboost")
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(CloneCostError, match=sentence) as caught:
        booster(tmp_path / name)
    assert "\n" not in str(caught.value)
