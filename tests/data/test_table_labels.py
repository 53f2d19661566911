"""Labels are found by value among the classes of a model."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clonecost.data.table_labels import must_be_indices, numbered_as, numbered_labels
from clonecost.data.tables import table
from clonecost.data.values import word
from clonecost.errors import DataError
from clonecost.types import LabelledInputs

WAYS = {
    "as they are": lambda one: one, "as text": word, "as a float": float,
    "as text of a float": lambda one: f"{float(one)}",
}  # fmt: skip


def rows(labels: Any) -> LabelledInputs:
    return table(np.arange(2.0 * len(labels)).reshape(-1, 2), labels)


@settings(max_examples=60)
@given(
    classes=st.lists(st.integers(-5, 120), min_size=2, max_size=6, unique=True),
    way=st.sampled_from(sorted(WAYS)), model=st.sampled_from(sorted(WAYS)), data=st.data(),
)  # fmt: skip
def test_whole_numbers_are_found_however_they_are_written(
    classes: list[int], way: str, model: str, data: st.DataObject
) -> None:
    labels = data.draw(st.lists(st.sampled_from(classes), min_size=2, max_size=20))
    if set(labels) == {-1}:  # rows without labels, by convention
        return
    stated = [word(WAYS[model](one)) for one in sorted(classes)]
    found = numbered_as(rows([WAYS[way](one) for one in labels]), stated)
    assert found.labels.tolist() == [sorted(classes).index(one) for one in labels]
    assert found.classes == tuple(stated)


@settings(max_examples=40)
@given(
    classes=st.lists(st.text("abc01 ", min_size=1, max_size=3).map(str.strip).filter(bool),
                     min_size=2, max_size=6, unique=True),
    data=st.data(),
)  # fmt: skip
def test_words_are_found_and_an_unknown_one_is_named(
    classes: list[str], data: st.DataObject
) -> None:
    labels = data.draw(st.lists(st.sampled_from(classes), min_size=2, max_size=20))
    found = numbered_as(rows(labels), classes)
    assert [classes[k] for k in found.labels.tolist()] == labels
    with pytest.raises(DataError, match="no classes of the model: zebra"):
        numbered_as(rows([*labels, "zebra"]), classes)


@pytest.mark.parametrize("labels", [[True, False], ["True", "False"], [1, 0], ["1.0", "0"]])
@pytest.mark.parametrize("classes", [("False", "True"), ("0", "1")])
def test_truth_values_are_found(labels: list[Any], classes: tuple[str, ...]) -> None:
    assert numbered_as(rows(labels), classes).labels.tolist() == [1, 0]


def test_leading_zeros_are_part_of_a_word() -> None:
    assert numbered_as(rows(["01", "1"]), ("01", "1")).labels.tolist() == [0, 1]
    with pytest.raises(DataError, match="no classes of the model: 01"):
        numbered_as(rows(["01", "2"]), ("1", "2"))


@pytest.mark.parametrize("labels", [None, ["", ""], [None, None], [np.nan, np.nan], [-1, -1]])
def test_rows_without_labels_keep_none(labels: Any) -> None:
    found, words = numbered_labels(labels, 2, "rows")
    assert (found.tolist(), words) == ([-1, -1], [])
    without = LabelledInputs(torch.zeros(2, 1), found)
    assert numbered_as(without, ("-1", "1")).labels.tolist() == [-1, -1]


@pytest.mark.parametrize("labels", [["yes", None, "no"], ["yes", "", "no"], [1.0, np.nan, 2.0]])
def test_a_gap_among_labels_is_refused_with_its_row(labels: list[Any]) -> None:
    with pytest.raises(DataError, match="missing, the first in row 2"):
        numbered_labels(np.array(labels, dtype=object), 3, "rows")


def test_a_measured_number_is_no_class() -> None:
    with pytest.raises(DataError, match=r"such as 0\.5.*regressor"):
        numbered_labels([0.5, 1.0], 2, "rows")


def test_indices_of_classes_in_words() -> None:
    assert numbered_as(rows([1, 0]), ("no", "yes")).labels.tolist() == [1, 0]
    with pytest.raises(DataError, match="no classes of the model: 2"):
        numbered_as(rows([1, 2]), ("no", "yes"))


def test_numbers_that_no_int64_holds_are_words() -> None:
    found, words = numbered_labels(["9" * 20, "3", "9" * 5_000], 3, "rows")
    assert (found.tolist(), words) == ([1, 0, 2], ["3", "9" * 20, "9" * 5_000])
    assert numbered_labels(["9" * 18, "0"], 2, "rows")[0].tolist() == [10**18 - 1, 0]


@pytest.mark.parametrize(("classes", "refused"), [
    (("1", "2", "3"), True), (("-1", "1"), True), (("2.5", "4"), True),
    (("0", "1", "2"), False), (("False", "True"), False), (("no", "yes"), False), ((), False),
])  # fmt: skip
def test_numbers_that_may_be_classes_or_places_are_refused(
    classes: tuple[str, ...], refused: bool
) -> None:
    data = rows([0, 1, 1])
    if refused:
        with pytest.raises(DataError, match=r"a class or the place of one.*stated_table\(model\)"):
            must_be_indices(data, classes)
    else:
        must_be_indices(data, classes)
    stated = tuple(map(str, range(len(classes))))
    must_be_indices(numbered_as(data, stated) if stated else data, classes)
