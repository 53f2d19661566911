"""scikit-learn estimators as victims: in Python, by import, and from a skops file."""

import builtins
import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import skops.io
import torch
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from tests.support.table_toys import numbers

from clonecost.errors import VictimError
from clonecost.tabular.features import uniform_rows
from clonecost.victims import load_victim, sklearn_victim
from clonecost.victims.sklearn_model import TableModel

FEATURES = numbers(3)
TREE = "sklearn.tree._tree.Tree"


def rows(count: int = 200) -> torch.Tensor:
    return uniform_rows(FEATURES, count, torch.Generator().manual_seed(0))


def fitted(estimator: Any) -> Any:
    x = rows().double().numpy()
    return estimator.fit(x, (x[:, 0] > 0).astype(int) + (x[:, 1] > 0.5))


def test_probabilities_are_those_of_the_pipeline_in_float64() -> None:
    pipeline = fitted(make_pipeline(StandardScaler(), LogisticRegression()))
    answers = sklearn_victim(pipeline)(rows(50))
    assert answers.dtype == torch.float64
    assert np.array_equal(answers.numpy(), pipeline.predict_proba(rows(50).double().numpy()))


def test_labels_of_a_machine_without_probabilities_are_one_hot() -> None:
    machine = fitted(SVC())
    answers = sklearn_victim(machine)(rows(50))
    assert torch.equal(answers.sum(1), torch.ones(50, dtype=torch.float64))
    assert np.array_equal(answers.argmax(1).numpy(), machine.predict(rows(50).double().numpy()))


def test_an_estimator_that_is_not_fitted_is_a_victim_error() -> None:
    with pytest.raises(VictimError, match=r"failed on inputs of shape \(5, 3\).*not fitted"):
        sklearn_victim(LogisticRegression())(rows(5))


def test_a_skops_file_of_known_types_needs_no_permission(tmp_path: Path) -> None:
    pipeline = fitted(make_pipeline(StandardScaler(), LogisticRegression()))
    path = tmp_path / "model.skops"
    skops.io.dump(pipeline, path)
    loaded = load_victim(str(path), input_shape=(3,), num_classes=3)
    assert torch.equal(loaded.answer(rows(20)), sklearn_victim(pipeline)(rows(20)))
    assert loaded.name == "model.skops"
    assert len(loaded.weights or "") == 64


class Danger:
    """An unknown type, whose code must not run."""

    def __init__(self) -> None:
        self.classes_ = [0, 1]

    def predict(self, x: np.ndarray) -> np.ndarray:
        raise AssertionError("ran the code of an unknown type")


def test_the_name_of_a_type_of_numbers_needs_no_permission(tmp_path: Path) -> None:
    pipeline = fitted(make_pipeline(SimpleImputer(), LogisticRegression()))
    path = tmp_path / "model.skops"
    skops.io.dump(pipeline, path)
    assert skops.io.get_untrusted_types(file=path) == ["numpy.dtype"]
    loaded = load_victim(str(path), input_shape=(3,), num_classes=3)
    assert torch.equal(loaded.answer(rows(20)), sklearn_victim(pipeline)(rows(20)))


def test_unknown_types_are_listed_and_must_be_allowed_by_name(tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    skops.io.dump(fitted(DecisionTreeClassifier(random_state=0)), path)
    named = skops.io.get_untrusted_types(file=path)
    skops.io.dump(Danger(), tmp_path / "danger.skops")
    with pytest.raises(VictimError, match=r"not known to be harmless.*`allow=\[.*Danger'"):
        load_victim(str(tmp_path / "danger.skops"), input_shape=(3,), num_classes=2)
    if named:  # a later skops may trust trees
        with pytest.raises(VictimError, match=rf"`allow=\[.*{named[0]}'"):
            load_victim(str(path), input_shape=(3,), num_classes=3)
    loaded = load_victim(str(path), input_shape=(3,), num_classes=3, allow=named)
    assert loaded.answer(rows(20)).shape == (20, 3)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"no zip at all", "cannot be loaded as a skops file"), (None, "no file")],
)
def test_a_broken_file_is_one_sentence(
    content: bytes | None, sentence: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.skops"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(VictimError, match=sentence):
        load_victim(str(path), input_shape=(3,), num_classes=3)


def test_a_transformer_is_no_classifier(tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    skops.io.dump(fitted(StandardScaler()), path)
    with pytest.raises(VictimError, match="got StandardScaler, want predict_proba or predict"):
        load_victim(str(path), input_shape=(3,), num_classes=3)


def test_without_skops_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.skops"
    path.touch()
    real = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("skops"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(VictimError, match=r"pip install 'clonecost\[tabular\]'"):
        load_victim(str(path))


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(fitted(LogisticRegression())))
    with pytest.raises(VictimError, match=r"is a pickle.*skops\.io\.dump"):
        load_victim(str(path))


def test_an_estimator_by_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(
        "from sklearn.datasets import load_iris\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "model = LogisticRegression(max_iter=1000).fit(*load_iris(return_X_y=True))\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    loaded = load_victim("mine:model", input_shape=(4,), num_classes=3)
    assert loaded.answer(torch.ones(2, 4)).dtype == torch.float64


def test_an_estimator_is_digested_once_and_only_where_no_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    skops.io.dump(fitted(LogisticRegression()), tmp_path / "model.SKOPS")
    (tmp_path / "grouped.py").write_text(
        "from sklearn.cluster import KMeans\nmodel = KMeans(2, n_init=1).fit([[0.0], [1.0]])\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(joblib, "hash", lambda *_, **__: pytest.fail("hashed for nothing"))
    assert load_victim("model.SKOPS", input_shape=(3,)).name == "model.SKOPS"
    with pytest.raises(VictimError, match="clusterer"):
        load_victim("grouped:model")


def test_what_a_model_states_is_found_once() -> None:
    table = TableModel(fitted(LogisticRegression()))
    assert table.stated is table.stated
