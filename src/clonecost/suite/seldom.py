"""A call that takes a small share of the time: many calls of it in a row are few."""

import time
from collections.abc import Callable

SHARE = 0.05  # of the time


def seldom(
    call: Callable[[], object], *, clock: Callable[[], float] = time.monotonic
) -> Callable[[], None]:
    """The call, left out while it would take more than `SHARE` of the time since the last one.

    A suite's table is made of all its results: after each of 100,000 runs it would be read for
    weeks.

    Example:
        >>> often = seldom(lambda: print("now"), clock=lambda: 0.0)
        >>> often()
        now
    """
    due = -float("inf")

    def called() -> None:
        nonlocal due
        began = clock()
        if began < due:
            return
        call()
        ended = clock()
        due = ended + (ended - began) / SHARE

    return called
