"""The pace of rows to one endpoint, and the rows that a permission allows, over all processes."""

import hashlib
import math
import time
from collections.abc import Callable

from clonecost.errors import Advice, SetKey, VictimError
from clonecost.result import Authorisation
from clonecost.victims.endpoints.shared_state import SharedState

# Seconds that are added to the window: two requests that leave a second apart may arrive closer.
SLACK = 0.05


class Pace:
    """At most `rate` rows in every second, whoever of this user sends them to the same origin.

    Every second means every one, not only those between whole seconds: the rows of the last second
    are known, with the times at which they left. Requests are spread over the second as well.
    Below one row a second the window is the time of one row.

    Args:
        clock: seconds, the same for all processes of the machine.
    """

    def __init__(
        self,
        state: SharedState,
        rate: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._state, self._rate, self._clock, self._sleep = state, rate, clock, sleep
        self.most = max(1, math.floor(rate))  # rows of one request, and of one window
        self._window = max(1.0, 1 / rate) + SLACK

    def admit(self, rows: int) -> None:
        """Wait until this number of rows, at most `most`, may be sent, and count them as sent.

        Raises:
            VictimError: the count cannot be kept.
            ValueError: more than `most` rows never fit.
        """
        if rows > self.most:
            raise ValueError(f"{rows:,} rows do not fit in a second of {self.most:,}")
        while (pause := self._try(rows)) > 0:
            self._sleep(pause)

    def _try(self, rows: int) -> float:
        """Count the rows as sent and return 0; or return the seconds until the next try."""
        with self._state.locked() as state:
            now = self._clock()
            # a time after now is of before the machine was started anew
            sent = [
                (at, count) for at, count in state.get("sent", ()) if now - self._window < at <= now
            ]
            if sent and (early := sent[-1][0] + sent[-1][1] / self._rate - now) > 0:
                return early
            too_many = sum(count for _, count in sent) + rows - self.most
            for at, count in sent:
                if too_many <= 0:
                    break
                too_many -= count
                if too_many <= 0:
                    return max(at + self._window - now, 1e-4)
            state["sent"] = [*sent, (now, rows)]
            return 0.0


class RowCap:
    """The rows that a permission allows, counted over all runs of this user on this machine."""

    def __init__(self, state: SharedState, authorisation: Authorisation) -> None:
        self._state, self._rows = state, authorisation.rows or 0
        named = f"{authorisation.owner}\n{authorisation.granted_by}\n{authorisation.date}"
        self._key = hashlib.sha256(named.encode()).hexdigest()[:32]

    def must_allow(self, rows: int) -> None:
        """Refuse rows that are more than the permission has left; counts none.

        Raises:
            VictimError: they are more.
        """
        with self._state.locked() as state:
            self._check(state.get("rows", {}).get(self._key, 0), rows)

    def take(self, rows: int) -> None:
        """Count rows before they are sent.

        Raises:
            VictimError: they are more than the permission has left; nothing is counted.
        """
        with self._state.locked() as state:
            counts = state.setdefault("rows", {})
            used = counts.get(self._key, 0)
            self._check(used, rows)
            counts[self._key] = used + rows

    def give_back(self, rows: int) -> None:
        """Rows that were certainly not served."""
        with self._state.locked() as state:
            counts = state.setdefault("rows", {})
            counts[self._key] = max(0, counts.get(self._key, 0) - rows)

    def _check(self, used: int, rows: int) -> None:
        if used + rows > self._rows:
            raise VictimError(
                f"The permission for {self._state.origin} allows {self._rows:,} rows, and "
                f"{used:,} were sent from this machine; nothing more is sent, and all earlier "
                "answers are kept", Advice("ask the owner for more rows"),
                SetKey("authorisation.rows"),
            )  # fmt: skip
