"""The delivery of a batch to a remote victim: rows sent, refused and lost.

A local victim answers a batch or fails. A remote victim can fail in between: some rows were sent
and may be billed without an answer, some were refused and certainly not served, and a query may be
sent again. The oracle opens a `Delivery` for each batch that it has reserved; the victim gets the
delivery with `current` and reports to it. Rows that are sent again are first written to the ledger
as lost, durably. Rows of a failed batch that were never sent are not charged.

The delivery is a context variable and not an argument, so that a defence between oracle and victim,
a plain function of inputs, need not pass it on.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor


class Delivery:
    """The delivery of one reserved batch; used only from the thread that called the oracle.

    Args:
        lose: writes rows (n, *input_shape) and a reason to the ledger as lost, or raises
            LostRowsError.
        position: of the batch's first row in its account.

    Example of a remote victim:
        >>> delivery = current()  # doctest: +SKIP
        >>> delivery.track()  # doctest: +SKIP
        >>> delivery.sent(len(inputs))  # doctest: +SKIP
    """

    def __init__(self, lose: Callable[[Tensor, str], None], position: int = 0) -> None:
        self._lose, self.position = lose, position
        self._sent: int | None = None  # None: the victim does not report, as every local one
        self.refusals: dict[int, str] = {}  # rows of the batch that got no answer, and why

    def track(self) -> None:
        """Declare that the victim reports every row; none was sent yet."""
        self._sent = self._sent or 0

    def sent(self, rows: int) -> None:
        """Report rows that are being sent: from now on they may be served."""
        self._sent = (self._sent or 0) + rows

    def refused(self, rows: int) -> None:
        """Report sent rows that were not served: no connection, or refused before any work."""
        self._sent = (self._sent or 0) - rows

    def refused_for_good(self, row: int, words: str) -> None:
        """Report a sent row that the victim refuses however often it is asked.

        The victim returns any valid answer for it, which the oracle drops: a defence in between
        then needs to know nothing of refusals.

        Args:
            row: its place in the batch, from 0.
            words: why, as the victim says it.
        """
        self.refusals[row] = words

    def lost(self, inputs: Tensor, reason: str) -> None:
        """Report rows (n, *input_shape) that are sent again, and may have been served before.

        The record is durable when this returns.

        Raises:
            LostRowsError: the limit is reached; the rows must not be sent again.
        """
        self._lose(inputs, reason)
        self.refused(len(inputs))  # the ledger has them as a lost batch now

    def never_sent(self, rows: int) -> int:
        """The number of rows, in a batch of `rows`, that certainly never reached the victim."""
        return 0 if self._sent is None else rows - min(rows, max(0, self._sent))


_current: ContextVar[Delivery | None] = ContextVar("delivery", default=None)


def current() -> Delivery:
    """The delivery of the running call of the oracle; outside of one, a delivery without effect."""
    return _current.get() or Delivery(lambda inputs, reason: None)


@contextmanager
def delivering(delivery: Delivery) -> Iterator[None]:
    """Make `delivery` the current one inside the `with`."""
    token = _current.set(delivery)
    try:
        yield
    finally:
        _current.reset(token)
