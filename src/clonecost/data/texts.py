"""Data sets of texts: by name, or a file of the user's own; each row is a string."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from clonecost.data.catalogue import Split
from clonecost.data.docs_sentences import package_sentences, topic_sentences
from clonecost.data.table_labels import UNLABELLED, numbered_labels
from clonecost.data.text_catalogue import TEXTS
from clonecost.data.text_files import read_texts
from clonecost.data.text_rows import bytes_of, encode
from clonecost.data.text_words import words_of
from clonecost.errors import Advice, SpecError, suggest
from clonecost.persistence.file_limits import at_home, must_fit_memory, regular_file
from clonecost.types import LabelledInputs

TEST_SHARE, SPLIT_SEED = 0.3, 0
HELD_OUT = 10  # one sentence of `docs-sentences` in ten is of its test split


@dataclass(frozen=True)
class TextOptions:
    """How a user's own file of texts is read.

    Attributes:
        text_column: the column with the text, of a file with columns.
        label_column: the column with the classes; None: `label`, else the only other one.
        longest: bytes of a row; None: of the longest text.
        cut: longer texts are cut; else refused.
        labels: whether the classes are read.
    """

    text_column: str | None = None
    label_column: str | None = None
    longest: int | None = None
    cut: bool = False
    labels: bool = True


AS_THEY_ARE = TextOptions()


def check_texts(name: str) -> None:
    """Refuse a name of no data set of texts, and a path without a file.

    Raises:
        SpecError: an unknown name.
        DataError: there is no such file.
    """
    path = at_home(name)
    if name in TEXTS or path.is_file():
        return
    if not path.suffix and len(path.parts) == 1:
        raise SpecError(suggest("data set of texts", name, list(TEXTS)),
                        Advice("give a file with one text a line, or a .csv, .jsonl or .parquet "
                               "file with a text column"))  # fmt: skip
    regular_file(path)


def load_texts(name: str, split: Split, options: TextOptions = AS_THEY_ARE) -> LabelledInputs:
    """Texts as (n, bytes) uint8 rows (`clonecost.data.text_rows`) with int64 labels.

    Rows without labels have -1. A file has the same rows for both splits.

    Args:
        name: one of `TEXTS`, or the path of a file (`clonecost.data.text_files.read_texts`).

    Raises:
        SpecError: an unknown name.
        DataError: the file is missing, damaged or no text, or a text is too long.

    Example:
        >>> decode(load_texts("docs-topics", "test").inputs)[0]  # doctest: +SKIP
        'Acquire a lock, blocking or non-blocking.'
    """
    check_texts(name)
    if name in TEXTS:
        found, labels, classes = _NAMED[name](split)
    else:
        read = read_texts(at_home(name), options.text_column, options.label_column,
                          labels=options.labels)  # fmt: skip
        found = read.texts
        values = None if read.labels is None else np.array(read.labels, object)
        labels, words = numbered_labels(values, len(found), name)
        classes = tuple(words)
    length = options.longest or bytes_of(found)
    must_fit_memory(name, 5 * length * len(found))  # as bytes, and a part as float32
    return LabelledInputs(encode(found, length, cut=options.cut), labels, classes, name, text=True)


Named = tuple[list[str], torch.Tensor, tuple[str, ...]]


def _sentences(split: Split) -> Named:
    texts = package_sentences()
    chosen = [
        text for k, text in enumerate(texts) if (k % HELD_OUT == HELD_OUT - 1) == (split == "test")
    ]
    return chosen, torch.full((len(chosen),), UNLABELLED), ()


def _words(split: Split) -> Named:
    found = words_of(_sentences(split)[0])
    return found, torch.full((len(found),), UNLABELLED), ()


def _topics(split: Split) -> Named:
    from sklearn.model_selection import train_test_split

    by_topic = topic_sentences()
    texts = [text for found in by_topic.values() for text in found]
    labels = np.repeat(np.arange(len(by_topic)), [len(found) for found in by_topic.values()])
    train, test = train_test_split(
        np.arange(len(texts)), test_size=TEST_SHARE, random_state=SPLIT_SEED, stratify=labels
    )
    rows = train if split == "train" else test
    chosen = [texts[k] for k in rows.tolist()]
    return chosen, torch.from_numpy(labels[rows]), tuple(by_topic)


_NAMED: dict[str, Callable[[Split], Named]] = {
    "docs-sentences": _sentences, "docs-words": _words, "docs-topics": _topics,
}  # fmt: skip
