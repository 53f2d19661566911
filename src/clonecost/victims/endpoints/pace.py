"""The pace of rows to one endpoint, and the rows that a permission allows, over all processes."""

import hashlib
import math
import time
from collections.abc import Callable

from clonecost.errors import Advice, SetKey, VictimError
from clonecost.result import Authorisation
from clonecost.victims.endpoints.shared_state import SharedState, this_machine

# Seconds that are added to the window: two requests that leave a second apart may arrive closer.
SLACK = 0.05
LEAST = 1e-4  # seconds of a pause: a clock may not see a shorter one pass


class Pace:
    """At most `rate` rows in every second, whoever of this user sends them to the same origin.

    Every second means every one, not only those between whole seconds: the rows of the last second
    are known, with the times at which they left. Requests are spread over the second as well.
    Below one row a second the window is the time of one row.

    Args:
        clock: seconds, the same for all processes of the machine.
        machine: names this clock; between machines the clock of the state's disk counts.
    """

    def __init__(
        self,
        state: SharedState,
        rate: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        machine: str | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._state, self._rate, self._clock, self._sleep = state, rate, clock, sleep
        self._machine = machine or this_machine()
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
            now, now_on_disk = self._clock(), self._state.time()
            sent = []
            for machine, at, on_disk, count in state.get("admitted", ()):
                on_disk = min(on_disk, now_on_disk)  # else that clock was set back
                ago = now - at if machine == self._machine else now_on_disk - on_disk
                if ago < self._window:
                    sent.append((ago, (machine, at, on_disk, count)))
            state["admitted"] = [entry for _, entry in sent]
            if sent:
                ago, (*_, count) = min(sent)
                if (early := count / self._rate - ago) > 0:
                    return max(early, LEAST)
            too_many = sum(entry[-1] for _, entry in sent) + rows - self.most
            for ago, (*_, count) in sorted(sent, reverse=True):
                if too_many <= 0:
                    break
                too_many -= count
                if too_many <= 0:
                    return max(self._window - ago, LEAST)
            state["admitted"].append((self._machine, now, now_on_disk, rows))
            return 0.0


class RowCap:
    """The rows that a permission allows, counted over all runs that share a state."""

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
                f"{used:,} were sent; nothing more is sent, and all earlier "
                "answers are kept", Advice("ask the owner for more rows"),
                SetKey("authorisation.rows"),
            )  # fmt: skip
