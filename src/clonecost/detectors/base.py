"""A detector's declaration. A detector is a frozen dataclass; no base class is inherited.

No detector ships yet. The registry, the lists and the contract tests work without one.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from clonecost.errors import SpecError

Reads = Literal["inputs", "answers", "both"]


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What a detector reads and keeps: one for each detector, as its class variable `declares`.

    Example:
        >>> class Distances:
        ...     declares: ClassVar = Declaration(reads="inputs", keeps_state=True)

    Raises:
        SpecError: `reads` has another value, or the class variable has another name.
    """

    reads: Reads  # the part of a query that the detector reads
    keeps_state: bool = False  # its verdict on a row depends on earlier rows of the same account

    def __post_init__(self) -> None:
        if self.reads not in get_args(Reads):
            want = " or ".join(get_args(Reads))
            raise SpecError("Unknown value of a detector's reads", got=repr(self.reads), want=want)

    def __set_name__(self, detector: type, name: str) -> None:
        if name != "declares":
            raise SpecError(f"The declaration of {detector.__name__} has the wrong name", got=name,
                            want="declares")  # fmt: skip
