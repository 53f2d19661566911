"""Names of classes in an ONNX file's metadata, as exporters write them."""

import ast
import json
from collections.abc import Mapping, Sequence

from clonecost.persistence.file_limits import NAMES_FILE

KEYS = ("names", "class_names", "classes", "labels", "id2label")


def names_of(metadata: Mapping[str, str], num_classes: int) -> tuple[str, ...]:
    """The names of the classes in the file's own order; () where it states none.

    They are a list, or an object from each class number to its name, in JSON or as Python prints
    it. Whatever is no name for each of the classes is left alone.

    Example:
        >>> names_of({"names": "{0: 'cat', 1: 'dog'}"}, 2)
        ('cat', 'dog')
    """
    for key in KEYS:
        names = _listed(metadata.get(key, ""))
        whole = len(names) == num_classes == len(set(names))
        if whole and all(isinstance(name, str) and name.strip() for name in names):
            return tuple(str(name).strip() for name in names)
    return ()


def _listed(text: str) -> Sequence[object]:
    value = _read(text) if len(text) <= NAMES_FILE else None
    if isinstance(value, dict):
        by_number = {str(number): name for number, name in value.items()}
        return [by_number.get(str(k)) for k in range(len(by_number))]
    return value if isinstance(value, list | tuple) else ()


def _read(text: str) -> object:
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
    return None
