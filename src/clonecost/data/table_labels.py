"""Labels of a table's rows, found by value among the classes of a model."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from clonecost.data.values import is_number, is_padded, listed, match, meaning, word
from clonecost.errors import Advice, DataError
from clonecost.types import LabelledInputs

UNLABELLED = -1
DIGITS = 18  # of a label that is a number: all of them fit into int64; a longer one is a word


def numbered_labels(
    labels: ArrayLike | None, count: int, where: str
) -> tuple[torch.Tensor, list[str]]:
    """Labels as (count,) int64, and the words that they number in sorted order.

    Labels that are all whole numbers from 0 on (3, "3" or 3.0) of at most 18 digits are those
    numbers, without words.
    Rows without labels have -1.

    Args:
        labels: (count,) values; None, or all missing, for rows without labels.
        where: the table's name, for messages.

    Raises:
        DataError: some labels are missing, there is another number of them, or they are no classes.

    Example:
        >>> numbered_labels(["no", "yes", "no"], 3, "rows")
        (tensor([0, 1, 0]), ['no', 'yes'])
    """
    if labels is None:
        return torch.full((count,), UNLABELLED), []
    y = np.asarray(labels)
    if y.shape != (count,):
        raise DataError(
            f"{where} has labels of {y.dtype} {y.shape}; want {count:,} integers or words.",
            Advice("give a label for each row"),
        )
    values, places = _distinct(y.astype(np.int64) if y.dtype == bool else y)
    gaps = [k for k, one in enumerate(values) if one is None or one != one or one == ""]
    if len(gaps) == len(values) or values == [UNLABELLED]:
        return torch.full((count,), UNLABELLED), []
    if gaps:
        row = int(np.isin(places, gaps).argmax())
        raise DataError(
            f"{where} has labels of {y.dtype} of which some are missing, the first in row "
            f"{row + 1}.", Advice("label or leave out these rows"),
            Advice("rows may also have no labels at all"),
        )  # fmt: skip
    broken = [one for one in values if isinstance(one, float) and not one.is_integer()]
    if broken and np.issubdtype(y.dtype, np.floating):
        raise DataError(
            f"{where} has labels of {y.dtype} such as {broken[0]:g}; want {count:,} integers or "
            "words.", Advice("give classes: a number that a regressor predicts is none"),
        )  # fmt: skip
    texts = [word(one).strip() for one in values]
    whole = [int(text) for text in texts
             if text.isdecimal() and len(text) <= DIGITS and not is_padded(text)]  # fmt: skip
    if len(whole) == len(values):
        return torch.from_numpy(np.array(whole, np.int64)[places]), []
    words = sorted({word(one) for one in values}, key=_order)  # -1 is a class here, not a gap
    place = {text: number for number, text in enumerate(words)}
    numbers = np.array([place[word(one)] for one in values], np.int64)
    return torch.from_numpy(numbers[places]), words


def _order(text: str) -> tuple[float, str]:
    """Numbers by size, words by their letters."""
    value = meaning(text)
    return (value, "") if isinstance(value, float) and is_number(text) else (0.0, text)


def numbered_as(data: LabelledInputs, classes: Sequence[str]) -> LabelledInputs:
    """The data with labels numbered as the model's `classes`, which they are matched to by value.

    1, "1", 1.0 and True are one value. Whole numbers are indices of classes that are all words.
    Rows without labels, and data for a model without names of classes, keep what they have.

    Raises:
        DataError: a label is none of the classes.

    Example:
        >>> numbered_as(table([[1], [2]], [3, 1]), ("1", "2", "3")).labels
        tensor([2, 0])
    """
    if not classes or not len(data):
        return data
    if int(data.labels.max()) == UNLABELLED:
        return replace(data, classes=tuple(classes))
    numbers, places = data.labels.unique(return_inverse=True)
    values: list[object] = [data.classes[n] if data.classes else n for n in numbers.tolist()]
    found = match(values, classes)
    if min(found) < 0 and not data.classes and all(isinstance(meaning(c), str) for c in classes):
        found = [n if 0 <= n < len(classes) else -1 for n in numbers.tolist()]
    unknown = [value for value, place in zip(values, found, strict=True) if place < 0]
    if unknown:
        raise _foreign(data, unknown, values, classes)
    return replace(data, labels=torch.tensor(found)[places], classes=tuple(classes))


def must_be_indices(data: LabelledInputs, classes: Sequence[str]) -> None:
    """Refuse a table's labels that are numbers without names, if the model's classes are others.

    Nobody can tell whether 1 is the class 1 or the second class of a model for 1, 2 and 3.

    Args:
        classes: of the model, in words.

    Raises:
        DataError: the labels must be matched to the classes by value.
    """
    if not data.labelled or data.classes or not classes:
        return
    values = list(map(meaning, classes))
    if all(isinstance(one, float) for one in values) and values != list(range(len(values))):
        raise DataError(
            f"{data.name or 'the table'} has whole numbers as labels, and the classes of the model "
            f"are the numbers {listed(classes)}: a label may be a class or the place of one",
            Advice("make the table with `stated=clonecost.stated_table(model)`, which finds the "
                   "classes by value"),
        )  # fmt: skip


def _foreign(
    data: LabelledInputs, unknown: Sequence[object], values: Sequence[object],
    classes: Sequence[str],
) -> DataError:  # fmt: skip
    return DataError(
        f"{data.name or 'the table'} has labels that are no classes of the model: "
        f"{listed(unknown)}. Its labels are {listed(values)}; the model's classes are "
        f"{listed(classes)}.",
        Advice("write the labels as the model's classes"),
    )


def _distinct(y: NDArray[Any]) -> tuple[list[Any], NDArray[np.intp]]:
    """The different values, and the place of each row's among them."""
    try:
        values, places = np.unique(y, return_inverse=True)
    except TypeError:  # words and missing values do not sort
        _, first, places = np.unique(
            np.array([repr(one) for one in y.tolist()]), return_index=True, return_inverse=True
        )
        return y[first].tolist(), places
    return values.tolist(), places
