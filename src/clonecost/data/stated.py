"""What a fitted model states about the table that it was fitted on."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class StatedTable:
    """The columns, categories and classes of a fitted model, as far as the model states them."""

    count: int = 0  # columns; 0: unknown
    names: tuple[str, ...] | None = None  # None: fitted on an array, where columns have no names
    # by column, in words: the values of a category that the model knows
    categories: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    open: frozenset[int] = frozenset()  # columns with categories where other values are answered
    classes: tuple[str, ...] = ()
    takes_missing: bool = True  # False: the model refuses rows with missing values

    @property
    def labels_of_columns(self) -> tuple[str, ...]:
        """A name for each column: its own, else "feature k"."""
        return self.names or tuple(f"feature {k}" for k in range(self.count))
