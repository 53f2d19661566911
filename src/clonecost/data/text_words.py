"""The words of texts, as scikit-learn's vectorizers find them by default. Imports no torch."""

import re
from collections import Counter
from collections.abc import Iterable

WORD = re.compile(r"(?u)\b\w\w+\b")


def words_in(text: str) -> list[str]:
    """The words of a text in their order, in lower case.

    Example:
        >>> words_in("The cat, a dog")
        ['the', 'cat', 'dog']
    """
    return WORD.findall(text.lower())


def words_of(texts: Iterable[str]) -> list[str]:
    """The words of texts, each once: the most frequent first, then by their letters.

    Example:
        >>> words_of(["The cat, the dog", "the dog"])
        ['the', 'dog', 'cat']
    """
    counts = Counter(word for text in texts for word in words_in(text))
    return sorted(counts, key=lambda word: (-counts[word], word))
