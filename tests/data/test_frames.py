"""Data frames and CSV files as tables."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from clonecost.data.table_labels import numbered_as
from clonecost.data.tables import load_table, table
from clonecost.errors import DataError
from clonecost.types import Feature

FRAME = pd.DataFrame({
    "age": [18, 40, 99], "colour": ["red", "green", "red"], "member": [True, False, True],
})  # fmt: skip
AGE = Feature(name="age", low=0, high=120)
COLOUR = Feature(name="colour", categories=("red", "green", "blue"))


def test_words_are_categories_and_numbers_have_the_range_that_occurs() -> None:
    found = table(FRAME, ["no", "yes", "no"])
    assert found.features == (
        Feature(name="age", low=18, high=99), Feature(name="colour", categories=("green", "red")),
        Feature(name="member", low=0, high=1),
    )  # fmt: skip
    wanted = torch.tensor([[18.0, 1, 1], [40, 0, 0], [99, 1, 1]])
    assert torch.equal(found.inputs, wanted)
    assert (found.labels.tolist(), found.classes) == ([0, 1, 0], ("no", "yes"))


def test_a_type_of_categories_keeps_their_order() -> None:
    words = pd.Categorical(FRAME["colour"], categories=["red", "green", "blue"])
    found = table(FRAME.assign(colour=words), [0, 1, 0])
    assert found.features is not None
    assert found.features[1] == COLOUR
    assert found.inputs[:, 1].tolist() == [0, 1, 0]


def test_features_choose_the_columns_and_their_order() -> None:
    found = table(FRAME, [0, 1, 0], features=(COLOUR, AGE))
    assert torch.equal(found.inputs, torch.tensor([[0.0, 18], [1, 40], [0, 99]]))
    assert found.features == (COLOUR, AGE)


@pytest.mark.parametrize(
    ("frame", "features", "sentence"),
    [
        (FRAME, [Feature(name="income")], "has no column 'income'; it has age, colour, member"),
        (FRAME, [Feature(name="colour")], "colour holds words; want numbers.* categ"),
        (FRAME, [Feature(name="colour", categories=("red", "blue"))], "'green', which is none of"),
        (FRAME.assign(colour=["red", None, "green"]), None, "not finite"),
        (FRAME.assign(age=[1, None, 2]), None, "not finite"),
        (FRAME.assign(colour="red"), None, "colour is always 'red'"),
    ],
)
def test_a_frame_that_does_not_fit_is_refused(
    frame: pd.DataFrame, features: list[Feature] | None, sentence: str
) -> None:
    with pytest.raises(DataError, match=sentence):
        table(frame, [0, 1, 0], features=features)


def test_missing_labels_are_refused() -> None:
    with pytest.raises(DataError, match="labels of object"):
        table(FRAME, np.array(["yes", None, "no"], dtype=object))


@pytest.mark.parametrize("label", ["label", "bought"])
def test_a_csv_file(label: str, tmp_path: Path) -> None:
    """The label has its name, or is the last column."""
    path = tmp_path / "rows.csv"
    labelled = FRAME.assign(**{label: ["no", "yes", "no"]})
    order = [label, *FRAME.columns] if label == "label" else list(labelled.columns)
    labelled[order].to_csv(path, index=False)
    found, same = load_table(str(path), "test"), table(FRAME, ["no", "yes", "no"], name=str(path))
    assert torch.equal(found.inputs, same.inputs)
    assert (found.features, found.classes) == (same.features, same.classes)
    chosen = load_table(str(path), "test", (COLOUR, AGE))
    assert chosen.features == (COLOUR, AGE)


def test_an_invalid_csv_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    for content, sentence in {
        b"": "cannot be read as CSV", b"\xff\xfe\x00": "cannot be read as CSV",
        b"a b\n1 2\n": "fewer than two columns", b"a,label\n": "a header and no rows",
    }.items():  # fmt: skip
        path.write_bytes(content)
        with pytest.raises(DataError, match=sentence):
            load_table(str(path), "test")


def test_classes_are_numbered_as_the_victim_has_them() -> None:
    rows = table(FRAME, ["no", "yes", "no"])
    found = numbered_as(rows, ("maybe", "no", "yes"))
    assert (found.labels.tolist(), found.classes) == ([1, 2, 1], ("maybe", "no", "yes"))
    with pytest.raises(DataError, match="labels are no, yes; the model's classes are 0, 1"):
        numbered_as(rows, ("0", "1"))
    plain = numbered_as(table(FRAME, [0, 1, 0]), ("no", "yes"))
    assert (plain.labels.tolist(), plain.classes) == ([0, 1, 0], ("no", "yes"))
