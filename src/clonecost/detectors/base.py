"""What a detector says about itself. A detector is a frozen dataclass; no base class is inherited.

No detector ships yet. The registry, the lists and the contract tests work without one.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from clonecost.errors import SpecError

Reads = Literal["inputs", "answers", "both"]


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What a detector reads and keeps: one for each detector, as its class variable `declares`."""

    reads: Reads  # what the detector reads of a query: its inputs, the victim's answers, or both
    keeps_state: bool = False  # its verdict on a row depends on earlier rows of the same account

    def __post_init__(self) -> None:
        if self.reads not in get_args(Reads):
            want = " or ".join(get_args(Reads))
            raise SpecError("A detector declares reads", got=repr(self.reads), want=want)

    def __set_name__(self, detector: type, name: str) -> None:
        if name != "declares":
            raise SpecError(f"{detector.__name__} declares itself", got=name, want="declares")
