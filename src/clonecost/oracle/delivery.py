"""What a victim at the other end of a wire tells of rows that are on their way.

A local victim answers a batch or fails. A remote one can fail in between: some rows were sent and
may be billed although no answer came, some were refused and surely never served, and a query may
be sent again. The oracle counts for both: it opens a `Delivery` for each batch that it has
reserved; the victim finds the delivery with `current` and reports to it. Rows that are sent once
more are written to the ledger as lost first, durably; rows of a failed batch that were never sent
are not charged.

The delivery is a context variable and not an argument, so that defences, which stand between the
two and are plain functions of inputs, need not pass it on.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor


class Delivery:
    """One reserved batch on its way. To be used from the thread that asked.

    Args:
        lose: writes rows to the ledger as lost, or raises because no more may be lost.
    """

    def __init__(self, lose: Callable[[Tensor, str], None]) -> None:
        self._lose = lose
        self._sent: int | None = None  # None: a victim that does not tell, as every local one

    def track(self) -> None:
        """The victim will report every row; none was sent yet."""
        self._sent = self._sent or 0

    def sent(self, rows: int) -> None:
        """These rows go out now: they may be served from here on."""
        self._sent = (self._sent or 0) + rows

    def refused(self, rows: int) -> None:
        """These were not served after all: no connection, or turned away before any work."""
        self._sent = (self._sent or 0) - rows

    def lost(self, inputs: Tensor, reason: str) -> None:
        """These rows (n, *input_shape) may have been served, no answer came, they go out again.

        Durable when it returns.

        Raises:
            LostRowsError: the audit may lose no more rows; they must not be sent again.
        """
        self._lose(inputs, reason)
        self.refused(len(inputs))  # they stand in a record of their own now

    def never_sent(self, rows: int) -> int:
        """How many of a batch of `rows` rows surely never reached the victim."""
        return 0 if self._sent is None else rows - min(rows, max(0, self._sent))


_current: ContextVar[Delivery | None] = ContextVar("delivery", default=None)


def current() -> Delivery:
    """The delivery that a victim is asked in; one that writes nothing if nobody counts."""
    return _current.get() or Delivery(lambda inputs, reason: None)


@contextmanager
def delivering(delivery: Delivery) -> Iterator[None]:
    """Make it the current one for a while."""
    token = _current.set(delivery)
    try:
        yield
    finally:
        _current.reset(token)
