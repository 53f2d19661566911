"""Values of labels and categories, matched by what they mean: 3, "3" and 3.0 are one value."""

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_PADDED = re.compile(r"[+-]?0\d+")  # a zip code or an article number, which is a word
_TRUTH = {"true": 1.0, "false": 0.0}
_SHOWN, _WIDE = 12, 60  # names that a message lists, and characters of one


def word(value: object) -> str:
    """The value as a person writes it.

    Example:
        >>> word(3.0), word(True), word("03")
        ('3', 'True', '03')
    """
    if hasattr(value, "item"):
        value = value.item()  # a number of NumPy
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def meaning(value: object) -> float | str:
    """A number for numbers, words of numbers and truth values, and the word itself for all others.

    Example:
        >>> meaning("3"), meaning(3.0), meaning("True"), meaning("03"), meaning(" no")
        (3.0, 3.0, 1.0, '03', 'no')
    """
    text = word(value).strip()
    if is_number(text):
        return float(text)
    return _TRUTH.get(text.lower(), text)


def is_number(text: str) -> bool:
    """Whether a word is a number: not if it has leading zeros, which a number would lose.

    Example:
        >>> is_number("1e3"), is_number("-.5"), is_number("02139"), is_number("nan")
        (True, True, False, False)
    """
    return bool(_NUMBER.fullmatch(text)) and not is_padded(text)


def is_padded(text: str) -> bool:
    """Whether a word is a whole number with leading zeros.

    Example:
        >>> is_padded("02139"), is_padded("0"), is_padded("0.5")
        (True, False, False)
    """
    return bool(_PADDED.fullmatch(text))


class Places:
    """The places of values in `among`, for more than one search.

    Example:
        >>> places = Places((1, 2))
        >>> places.find(["2", "x"]), places.find([1.0])
        ([1, -1], [0])
    """

    def __init__(self, among: Sequence[object]) -> None:
        self._words = {word(value): k for k, value in reversed(list(enumerate(among)))}
        self._meanings: dict[float | str, list[int]] = {}
        for k, value in enumerate(among):
            self._meanings.setdefault(meaning(value), []).append(k)

    def find(self, values: Iterable[object]) -> list[int]:
        """The place of each value; -1 for a value that is not there.

        Equal words come first, then equal meanings, if no two of `among` have that meaning.
        """
        found = []
        for value in values:
            place = self._words.get(word(value))
            if place is None:
                places = self._meanings.get(meaning(value), [])
                place = places[0] if len(places) == 1 else -1
            found.append(place)
        return found


def match(values: Iterable[object], among: Sequence[object]) -> list[int]:
    """The place of each value in `among`; -1 for a value that is not there.

    Example:
        >>> match(["2", 1.0, "x"], (1, 2))
        [1, 0, -1]
        >>> match(["01", 1], ("1", "01"))
        [1, 0]
    """
    return Places(among).find(values)


def listed(names: Iterable[object]) -> str:
    """Names in a sentence; the first dozen of many.

    Example:
        >>> listed(["age", "income"])
        'age, income'
    """
    words = [word(name)[:_WIDE] or "(no name)" for name in names]
    more = f", ... ({len(words):,} in all)" if len(words) > _SHOWN else ""
    return ", ".join(words[:_SHOWN]) + more


def nearest(names: Iterable[str], among: Sequence[str]) -> str:
    """The first dozen of `names` that are written much like one of `among`: "'a' for 'b'"; else "".

    Example:
        >>> nearest(["income"], ["Income", "Age"])
        "'Income' for 'income'"
    """
    folded = {_folded(name): name for name in reversed(among)}
    pairs: list[str] = []
    for name in names:
        if len(pairs) == _SHOWN:
            break
        close = get_close_matches(_folded(name), list(folded), n=1, cutoff=0.75)
        pairs += [f"{folded[one]!r} for {name!r}" for one in close]
    return ", ".join(pairs)


def _folded(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold()) or name
