import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clonecost.data.bundled_tables import TABLES
from clonecost.data.stated import StatedTable
from clonecost.data.tables import load_table, table
from clonecost.errors import DataError, SpecError
from clonecost.tabular.features import check_rows
from clonecost.types import Feature


@pytest.mark.parametrize("name", TABLES)
def test_every_table_fits_its_features(name: str) -> None:
    train, test = load_table(name, "train"), load_table(name, "test")
    for part in (train, test):
        assert part.features is not None
        check_rows(part.features, part.inputs)
        assert part.inputs.dtype == torch.float32
        assert part.shape == (len(part.features),)
    assert abs(len(test) / (len(train) + len(test)) - 0.3) < 0.01
    assert set(train.labels.tolist()) == set(test.labels.tolist())
    assert torch.equal(test.inputs, load_table(name, "test").inputs)


def test_the_paper_took_as_many_queries_for_digits() -> None:
    assert 10 * (load_table("digits-flat", "test").shape[0] + 1) == 650


def test_an_own_file_with_ranges_and_one_without(tmp_path: Path) -> None:
    x, y = np.array([[1.0, 20], [2, 40], [4, 30]]), np.array([0, 1, 1])
    plain, full = tmp_path / "plain.npz", tmp_path / "full.npz"
    np.savez(plain, x=x, y=y)
    np.savez(
        full, inputs=x, labels=y, features=np.array(["a", "b"]), low=np.array([0.0, 0]),
        high=np.array([10.0, 100]), classes=np.array(["no", "yes"]),
    )  # fmt: skip
    found = load_table(str(plain), "test").features
    assert found == (
        Feature(name="feature 0", low=1, high=4), Feature(name="feature 1", low=20, high=40),
    )  # fmt: skip
    data = load_table(str(full), "test")
    assert data.features == (
        Feature(name="a", low=0, high=10), Feature(name="b", low=0, high=100),
    )  # fmt: skip
    assert data.classes == ("no", "yes")


@pytest.mark.parametrize(
    ("inputs", "labels", "sentence"),
    [
        ([[1.0, float("nan")]], [0], "not finite"),
        ([1.0, 2.0], [0, 1], "want a table"),
        ([["a", "b"]], [0], "want a table"),
        ([[1.0, 2.0]], [0.5], "want 1 integers"),
        ([[1.0, 2.0]], [0, 1], "want 1 integers"),
    ],
)
def test_invalid_rows_or_labels_are_refused(inputs: object, labels: object, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        table(inputs, labels)  # type: ignore[arg-type]


def test_values_outside_their_feature_are_refused() -> None:
    features = [Feature(name="colour", categories=("red", "green"))]
    with pytest.raises(DataError, match=r"colour holds values outside .* are its categories"):
        table([[2], [0]], [0, 1], features=features)
    with pytest.raises(DataError, match="1 columns and 2 features"):
        table([[1], [0]], [0, 1], features=features * 2)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="unknown table 'irsi'; did you mean 'iris'"):
        load_table("irsi", "test")
    with pytest.raises(DataError, match="There is no file"):
        load_table(str(tmp_path / "none.npz"), "test")
    (tmp_path / "x.xlsx").touch()
    with pytest.raises(DataError, match=r"Give a \.csv, \.npz or \.parquet file"):
        load_table(str(tmp_path / "x.xlsx"), "test")
    (tmp_path / "x.npz").write_bytes(b"nothing")
    with pytest.raises(DataError, match="cannot be read"):
        load_table(str(tmp_path / "x.npz"), "test")
    np.savez(tmp_path / "half.npz", inputs=np.ones((2, 2)))
    with pytest.raises(DataError, match="no array called labels"):
        load_table(str(tmp_path / "half.npz"), "test")
    np.savez(tmp_path / "ranges.npz", x=np.eye(2), y=np.arange(2), low=np.ones(2), high=np.ones(2))
    with pytest.raises(DataError, match="low and high are no ranges"):
        load_table(str(tmp_path / "ranges.npz"), "test")


def no_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] == "pandas":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)


def test_numbers_need_no_pandas_and_categories_name_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.array([[1.0, 20], [2, 40]])
    numbers = StatedTable(count=2, names=("b", "a"))
    words = StatedTable(count=2, categories={0: ("1", "2")})
    no_pandas(monkeypatch)
    found = table(rows, [0, 1], names=["a", "b"], stated=numbers)
    assert found.inputs.tolist() == [[20, 1], [40, 2]]
    with pytest.raises(DataError, match=r"needs the package pandas.*clonecost\[tabular\]"):
        table(rows, [0, 1], stated=words)


@pytest.mark.parametrize("value", [1e39, -1e300, np.inf])
@pytest.mark.parametrize("incomplete", [False, True])
def test_a_value_beyond_float32_is_named_with_its_row(value: float, incomplete: bool) -> None:
    with pytest.raises(DataError, match=r"a is infinite or above 3\.4e\+38 in row 2"):
        table([[1.0], [value]], [0, 1], names=["a"], incomplete=incomplete)


def test_an_ending_in_capitals_is_the_same_ending(tmp_path: Path) -> None:
    path = tmp_path / "ROWS.CSV"
    path.write_text("a,b,label\n1,2,0\n3,4,1\n")
    assert load_table(str(path), "test").inputs.tolist() == [[1, 2], [3, 4]]
