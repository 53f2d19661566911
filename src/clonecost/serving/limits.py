"""What one request, one connection and all requests together may take."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from operator import mul

from clonecost.errors import SetKey, SpecError
from clonecost.serving.protocol import RefusedError
from clonecost.types import PredictionApi

HEAD_SECONDS = 10.0  # for the head of a request, which is one packet
SPARE = 256  # lists, objects and values of a request in JSON beside its rows


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits on one request, on the connections, and on the rate of all requests together.

    Raises:
        SpecError: a limit is not above 0.

    Example:
        >>> Limits(max_rows=256, rate=100.0)
    """

    max_rows: int = 1024  # rows of one request
    max_bytes: int = 64 * 1024**2  # bytes of its body
    rate: float | None = None  # rows a second on average; a burst is `max_rows` or one second's
    timeout: float = 60.0  # seconds in which a request arrives, and in which its answer is taken
    max_connections: int = 256  # above it those go that wait for their client

    def __post_init__(self) -> None:
        for name in ("max_rows", "max_bytes", "rate", "timeout", "max_connections"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise SpecError(f"The limit {name} is out of range", SetKey(name), got=value,
                                want="a number above 0")  # fmt: skip

    @property
    def head_seconds(self) -> float:
        """Seconds in which the head of a request arrives."""
        return min(HEAD_SECONDS, self.timeout)

    @property
    def held_bytes(self) -> int:
        """Bytes of requests and answers that the server holds at a time: four of the largest."""
        return 4 * self.max_bytes


class JsonCount:
    """Counts the lists and values in the bytes of a JSON text, before a parser makes objects.

    An object of Python takes up to 60 bytes for one byte of JSON. A comma in a string is counted
    as well, so that the count is never too low.

    Example:
        >>> JsonCount(PredictionApi(input_shape=(4,), num_classes=2), max_rows=2).add(b"[[[[")
    """

    def __init__(self, api: PredictionApi, max_rows: int) -> None:
        *outer, self._values = accumulate((max_rows, *api.input_shape), mul)
        self._rows, self._row = max_rows, self._values // max_rows
        self._most_lists = SPARE + sum(outer)
        self._most_commas = SPARE + self._values + self._most_lists
        self._lists = self._commas = 0

    def add(self, text: bytes) -> None:
        """Count the next bytes of the text.

        Raises:
            RefusedError: 413: there are more than the largest request needs.
        """
        self._lists += text.count(b"[") + text.count(b"{")
        self._commas += text.count(b",")
        if self._lists > self._most_lists or self._commas > self._most_commas:
            what = "lists" if self._lists > self._most_lists else "values"
            raise RefusedError(
                413, f"too many {what} in one request: want at most {self._rows:,} rows of "
                f"{self._row:,} values",
            )  # fmt: skip


class Memory:
    """The bytes of all requests and answers that the server holds."""

    def __init__(self, limit: int) -> None:
        self._limit, self._held = limit, 0

    @contextmanager
    def share(self) -> Iterator["Share"]:
        """The bytes of one request, which are free again after the block."""
        share = Share(self)
        try:
            yield share
        finally:
            self._held -= share.held

    def take(self, count: int) -> None:
        """Hold more bytes.

        Raises:
            RefusedError: 503: the limit is reached; nothing was taken.
        """
        if self._held + count > self._limit:
            raise RefusedError(
                503, "the server holds as many requests as it can; send the request again in 1 s",
                {"Retry-After": "1"},
            )  # fmt: skip
        self._held += count


class Share:
    """The bytes that the server holds for one request."""

    def __init__(self, memory: Memory) -> None:
        self._memory, self.held = memory, 0

    def hold(self, count: int) -> None:
        """Hold `count` bytes for this request, if they are not held yet.

        Raises:
            RefusedError: 503: the server's limit is reached.
        """
        if count > self.held:
            self._memory.take(count - self.held)
            self.held = count
