"""What a detector reads, declares and returns. A detector is a frozen dataclass without base class.

A detector learns from benign traffic and gives a `Watch`: a pure function from the rows of one
account to a statistic at each look. Larger is more suspicious; `NO_VERDICT` is minus infinity.
Nothing here needs torch.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, is_dataclass, replace
from functools import cache
from typing import Any, ClassVar, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from clonecost.errors import SpecError

Reads = Literal["inputs", "answers", "both"]
Numbers = NDArray[np.float64]

NO_VERDICT = float("-inf")
FIRST_LOOK = 20  # rows
GROWTH = 1.1  # from look to look: an alarm comes at most 10 % of its rows late
_ROUND = (50, 100, 500, 1_000, 2_000, 5_000, 10_000)  # rows at which reports compare accounts


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


class InputRows(Protocol):
    """Inputs that are read from a disk when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, *shape)."""
        ...

    @property
    def ndim(self) -> int: ...

    def __getitem__(self, rows: slice | NDArray[np.intp], /) -> NDArray[Any]: ...


@dataclass(frozen=True, kw_only=True)
class Stream:
    """The rows of one account in their order.

    Attributes:
        digests: (n,) of dtype V16 (`row_keys`); equal rows have equal digests.
        top: (n,) the predicted classes.
        classes: K.
        confidence: (n,) the largest probability of each answer; None: not known, or labels only.
        answers: (n, K) probabilities; None as `confidence`.
        inputs: (n, *shape) uint8 pixels 0 to 255 or float32, which `take` reads if they are on a
            disk; None: not kept.

    Example:
        >>> Stream(digests=row_keys(bytes(32)), top=np.array([0, 1]), classes=2).take(slice(1)).top
        array([0])
    """

    digests: NDArray[np.void]
    top: NDArray[np.int64]
    classes: int
    confidence: NDArray[np.float32] | None = None
    answers: NDArray[np.float32] | None = None
    inputs: NDArray[Any] | InputRows | None = None

    def __len__(self) -> int:
        return len(self.digests)

    def take(self, rows: slice | NDArray[np.intp]) -> "Stream":
        """The stream of some of the rows, in the order of `rows`."""
        return replace(
            self, digests=self.digests[rows], top=self.top[rows],
            confidence=None if self.confidence is None else self.confidence[rows],
            answers=None if self.answers is None else self.answers[rows],
            inputs=None if self.inputs is None else self.inputs[rows],
        )  # fmt: skip

    def pixels(self) -> NDArray[np.float32]:
        """(n, *shape) float32: pixels in [0, 1], or a table's values.

        Raises:
            ValueError: the inputs were not kept.
        """
        if self.inputs is None:
            raise ValueError("the inputs were not kept")
        held = self.inputs[:]
        if held.dtype == np.uint8:
            return held.astype(np.float32) / np.float32(255)
        return held.astype(np.float32, copy=False)


Watch = Callable[[Stream], Numbers]  # the statistic at each of `looks(len(stream))`


class Detector(Protocol):
    """A detector: a frozen dataclass whose fields are its settings."""

    declares: ClassVar[Declaration]

    def cannot(self, stream: Stream) -> str:
        """Why the detector cannot judge such a stream, one sentence; empty if it can."""
        ...

    def learn(self, reference: Stream, accounts: Iterable[Stream]) -> Watch:
        """The watch of an owner with this benign traffic.

        Args:
            reference: benign rows of many accounts.
            accounts: some benign accounts, none of whose rows is in `reference`.
        """
        ...


def settings_of(detector: object) -> Mapping[str, Any]:
    """The settings of a detector by name."""
    assert is_dataclass(detector)
    assert not isinstance(detector, type)
    return asdict(detector)


@cache
def looks(rows: int) -> NDArray[np.int64]:
    """The numbers of rows at which an account of `rows` rows is looked at, ascending.

    Example:
        >>> looks(30).tolist()
        [20, 22, 25, 27]
    """
    steps = np.log(max(rows, FIRST_LOOK) / FIRST_LOOK) / np.log(GROWTH)
    grid = np.floor(FIRST_LOOK * GROWTH ** np.arange(int(steps) + 2) + 0.9).astype(np.int64)
    found = np.union1d(grid, np.array(_ROUND, np.int64))
    return found[found <= rows]


def row_keys(digests: bytes) -> NDArray[np.void]:
    """Digests of 16 bytes, one after the other, as an array whose items can be compared."""
    return np.frombuffer(digests, dtype="V16")


def counts_at_looks(values: NDArray[np.int64], width: int) -> Numbers:
    """How often each of 0 .. width - 1 has come up by each look: (looks, width)."""
    at = looks(len(values))
    segment = np.searchsorted(at, np.arange(len(values)), side="right")
    inside = segment < len(at)
    key = segment[inside] * width + values[inside]
    counted = np.bincount(key, minlength=len(at) * width).reshape(len(at), width)
    return counted.cumsum(0).astype(np.float64)
