"""The labels of answers, found by value among the classes: 3, "3" and 3.0 are one label."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from clonecost.data.values import Places, listed, meaning
from clonecost.errors import Advice, SetKey, VictimError


@dataclass(frozen=True)
class ClassLabels:
    """The classes of an endpoint.

    Attributes:
        url: for messages.
        classes: their names in the order of the test set's labels; () for the numbers from 0.

    Example:
        >>> ClassLabels("http://127.0.0.1/", ("cat", "dog"), 2).numbers(["dog", 0])
        [1, 0]
    """

    url: str
    classes: Sequence[str]
    num_classes: int

    def find(self, labels: Sequence[object]) -> list[int]:
        """The number of each label; -1 for one that is no class.

        A whole number is the index of a class if all classes are words, or have no names.
        """
        found = self._places.find(labels)
        if self._numbered:
            return found
        return [
            self._index(label) if place < 0 else place
            for label, place in zip(labels, found, strict=True)
        ]

    def numbers(self, labels: Sequence[object]) -> list[int]:
        """The number of each label.

        Raises:
            VictimError: some are no classes; both sides are in the message.
        """
        found = self.find(labels)
        unknown = {str(one): None for one, place in zip(labels, found, strict=True) if place < 0}
        if unknown:
            known = listed(self.classes) if self.classes else f"0 to {self.num_classes - 1}"
            raise VictimError(
                f"The answer of {self.url} has labels that are no classes: "
                f"{listed([one[:80] for one in unknown])}. The classes are {known}.",
                Advice("list the labels of the answers in `endpoint.classes`, in the order of the "
                       "test set's labels"),
            )  # fmt: skip
        return found

    @cached_property
    def _places(self) -> Places:
        return Places(self.classes)  # once, for all answers of a thousand classes

    @cached_property
    def _numbered(self) -> bool:
        return any(isinstance(meaning(name), float) for name in self.classes)

    def _index(self, label: object) -> int:
        number = meaning(label)
        whole = isinstance(number, float) and number.is_integer()
        return int(number) if whole and 0 <= float(number) < self.num_classes else -1


def no_class_now(url: str, got: str) -> VictimError:
    """The error of one number a row that is no class, after answers with classes."""
    return VictimError(
        f"{url} answered with classes so far, and now with one number a row that is no class, as "
        "the probability of the second class", SetKey("outputs", "sigmoid"), got=got,
    )  # fmt: skip
