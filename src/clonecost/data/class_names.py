"""Labels get the victim's numbers by the names of the classes, never by their positions."""

import json
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from clonecost.data.values import listed
from clonecost.errors import Advice, DataError, SetKey, SpecError
from clonecost.persistence.file_limits import CLASSES, NAMES_FILE, regular_file
from clonecost.types import LabelledInputs


def read_class_names(path: Path) -> tuple[str, ...]:
    """The names of a model's classes in its own order: one a line, or as JSON.

    JSON is a list, or an object from each class number to its name, as many libraries save it.

    Raises:
        SpecError: no such file, no list of names, fewer than two, a name twice, or a number of an
            object is missing.

    Example:
        >>> read_class_names(Path("names.txt"))  # doctest: +SKIP
        ('cat', 'dog')
    """
    if regular_file(path, SpecError) > NAMES_FILE:
        raise SpecError(f"{path} is too large for class names", Advice("give one name a line"))
    content = path.read_bytes()
    try:
        wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        text = content.decode("utf-16" if wide else "utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise SpecError(f"{path} is no text", Advice("save the class names as UTF-8")) from error
    names = _json_list(text) if text.startswith("[") else _json_object(text, path)
    if names is None:
        names = [line.strip() for line in text.splitlines()]
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if "" in names or len(names) < 2 or twice:
        problem = f"has {twice[0]!r} twice" if twice and twice[0] else "is no list of class names"
        raise SpecError(
            f"{path} {problem}",
            Advice('write one name a line, or as JSON: a list, or an object as {"0": "cat"}'),
        )  # fmt: skip
    return tuple(names)


def is_index(name: str) -> bool:
    """Whether the name of a class is a whole number.

    Example:
        >>> is_index("10"), is_index("ten"), is_index("-1")
        (True, False, False)
    """
    return name.isascii() and name.isdigit()


def are_indices(classes: Sequence[str]) -> bool:
    """Whether classes are named by their own numbers 0, 1, 2 ...: then more may exist."""
    return all(name == str(number) for number, name in enumerate(classes))


def numbered_folders(names: Sequence[str], where: str) -> tuple[dict[str, int], tuple[str, ...]]:
    """The label of each class folder, and the names of the labels.

    Whole numbers are the labels themselves; words are numbered in sorted order.

    Raises:
        DataError: two folders have one number, or a number is no class index.

    Example:
        >>> numbered_folders(["10", "2", "0"], "mine")[0]
        {'0': 0, '2': 2, '10': 10}
    """
    if not names or not all(map(is_index, names)):
        classes = tuple(sorted(names))
        return {name: label for label, name in enumerate(classes)}, classes
    # the length first: a number of a million digits takes a second to read
    if any(len(name.lstrip("0")) > len(str(CLASSES)) or int(name) > CLASSES for name in names):
        raise DataError(
            f"{where} has a class folder with a number above {CLASSES:,}: {listed(names)}.",
            Advice("give the folders the names or the indices of the model's classes"),
        )
    labels = {name: int(name) for name in sorted(names, key=int)}
    if len(set(labels.values())) < len(labels):
        raise DataError(
            f"{where} has two class folders with the same number: {listed(list(labels))}.",
            Advice("join them"),
        )
    return labels, tuple(map(str, range(max(labels.values()) + 1)))


def renumbered(data: LabelledInputs, names: Sequence[str]) -> LabelledInputs:
    """The data with the victim's numbers as labels, found by the names of the classes.

    Labels that are numbers, without names of their own, are the victim's numbers. Upper and lower
    case are alike where that leaves no doubt, as are spaces, hyphens and underscores.

    Args:
        names: the names of the victim's classes in its own order.

    Raises:
        DataError: a class of the data is none of the victim's; both lists are in the message.

    Example:
        >>> data = LabelledInputs(torch.zeros(2, 1, 1, 1), torch.tensor([0, 1]), ("dog", "cat"))
        >>> renumbered(data, ["cat", "cow", "dog"]).labels.tolist()
        [2, 0]
    """
    must_be_labels(data.labels, data.name or "the data set")
    occurring = sorted({int(label) for label in data.labels.unique()} - {-1})
    have = [data.classes[k] if k < len(data.classes) else str(k) for k in occurring]
    found = matched(have, names)
    unknown = [name for name in have if name not in found]
    if unknown and all(map(is_index, have)) and max(map(int, have)) < len(names):
        found, unknown = {name: int(name) for name in have}, []
    where = data.name or "the data set"
    if unknown:
        raise DataError(
            f"{where} has classes that the model does not have: {listed(unknown)}. The model's "
            f"classes are {listed(names)}",
            Advice("give the classes the model's own names"), SetKey("class_names"),
        )  # fmt: skip
    if len(set(found.values())) < len(found):
        raise DataError(
            f"{where} has two classes that are one of the model's: {listed(have)}. The model's "
            f"classes are {listed(names)}",
            Advice("join them"),
        )
    table = torch.full((max(occurring, default=-1) + 2,), -1)  # the last place is for label -1
    for label, name in zip(occurring, have, strict=True):
        table[label] = found[name]
    return replace(data, labels=table[data.labels], classes=tuple(names))


def must_be_labels(labels: torch.Tensor, where: str) -> None:
    """Refuse (n,) labels below -1, which are neither the number of a class nor "no label".

    Raises:
        DataError: the lowest label is named.
    """
    if len(labels) and (lowest := int(labels.min())) < -1:
        raise DataError(
            f"{where} has the label {lowest}", Advice("use 0 and up, or -1 for no label")
        )


def must_be_all(data: LabelledInputs, num_classes: int | None) -> None:
    """Refuse classes that are words and of another number than the model's: their order is unknown.

    Raises:
        SpecError: the order of the model's classes must be given.
    """
    words = data.classes and not are_indices(data.classes)
    if words and num_classes is not None and num_classes != len(data.classes):
        raise SpecError(
            f"{data.name or 'the test set'} has {len(data.classes)} classes "
            f"({listed(data.classes)}) and the model {num_classes}, so that it is unknown which "
            "is which",
            SetKey("class_names"),
        )


def matched(have: Sequence[str], names: Sequence[str]) -> dict[str, int]:
    """The index of each name that is found: as written, else as `plain`, if one name only is so.

    Example:
        >>> matched(["CAT", "cow"], ["dog", "cat"])
        {'CAT': 1}
    """
    exact = {name: index for index, name in enumerate(names)}
    alike: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        alike.setdefault(plain(name), []).append(index)
    found = {}
    for name in have:
        near = alike.get(plain(name), [])
        if name in exact:
            found[name] = exact[name]
        elif len(near) == 1:
            found[name] = near[0]
    return found


def plain(name: str) -> str:
    """A name without what people write differently: case, spaces, hyphens, accents' encoding.

    Example:
        >>> plain("Pickup truck") == plain("pickup_truck"), plain("007") == plain("7")
        (True, True)
    """
    text = unicodedata.normalize("NFC", name).strip().casefold()
    if is_index(text):
        return text.lstrip("0") or "0"
    return text.replace(" ", "_").replace("-", "_")


def _json_object(text: str, path: Path) -> list[str] | None:
    """The names of an object such as {"0": "cat"} or {"cat": 0}, or one in the key `id2label`.

    None: the text is no object. Names that are no list of names are [""].
    """
    if not text.startswith("{"):
        return None
    try:
        pairs = json.loads(text, object_pairs_hook=list)
    except (ValueError, RecursionError):
        return [""]
    pairs = next((held for key, held in pairs if key == "id2label"), pairs)
    if not isinstance(pairs, list) or not all(isinstance(one, tuple) for one in pairs):
        return [""]
    if all(type(value) is int for _, value in pairs) and not all(is_index(k) for k, _ in pairs):
        pairs = [(str(number), name) for name, number in pairs]
    if not all(isinstance(name, str) for _, name in pairs):
        return [""]
    numbers = Counter(key for key, _ in pairs)
    expected = set(map(str, range(len(pairs))))
    odd = [one for one, count in numbers.items() if one not in expected or count > 1]
    if odd:
        raise SpecError(
            f"{path} names the class {odd[0][:40]!r}, and wants each of 0 to {len(pairs) - 1} once",
            Advice("give every class number one name"),
        )
    return [name.strip() for _, name in sorted(pairs, key=lambda pair: int(pair[0]))]


def _json_list(text: str) -> list[str] | None:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return None
    plain_values = isinstance(values, list) and all(
        isinstance(value, str | int) and not isinstance(value, bool) for value in values
    )
    return [str(value).strip() for value in values] if plain_values else [""]
