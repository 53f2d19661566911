"""Connections with an end: each waits for its client only so long, and there are only so many.

uvicorn closes an idle connection, and waits without end for the rest of a head, of a body, or for a
client that does not take its answer.
"""

import asyncio
from typing import Any, Literal, cast

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from clonecost.serving.limits import Limits

try:
    import resource
except ImportError:  # not on Windows, which has no such limit
    resource = None  # type: ignore[assignment]

BACKLOG = 100  # connections that wait to be accepted; so many are accepted before any is closed
SMALL = 64  # bytes of a part of a body that costs more to receive than it brings
SMALL_PARTS = 4096  # of them in one request
PATIENCE = 1.0  # seconds that a connection may wait for its client when there are too many
GRACE = 1.0  # seconds after `timeout`, in which the application answers with 408

Wait = Literal["head", "body", "answer"]  # what a connection waits for, with its client


class Config(uvicorn.Config):
    """uvicorn's configuration, with the limits of the connections."""

    def __init__(self, app: Any, limits: Limits, **settings: Any) -> None:
        super().__init__(
            app, http=TimedProtocol, ws="none", loop="asyncio", backlog=BACKLOG, access_log=False,
            proxy_headers=False, server_header=False, **settings,
        )  # fmt: skip
        self.limits = limits
        self.max_connections = min(limits.max_connections, _open_files() // 4)


class TimedProtocol(H11Protocol):
    """One connection.

    Above the limit the connection is closed that has waited longest for its client, if that is
    `PATIENCE`: what a client has sent may not have been read yet. Above twice the limit it is
    closed in any case. A request that is being answered is never given up for another one.
    """

    def __init__(self, config: Config, *args: Any, **settings: Any) -> None:
        super().__init__(config, *args, **settings)
        most = config.h11_max_incomplete_event_size
        self.conn = _Parts(h11.SERVER, *([] if most is None else [most]))
        self._limits, self._most = config.limits, config.max_connections
        self._timer: asyncio.TimerHandle | None = None
        self._waits: tuple[Wait, object] | None = None
        self._since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()
        if len(self.connections) > self._most:
            self._give_one_up()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._watch()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def _give_one_up(self) -> None:
        others = (cast("TimedProtocol", one) for one in self.connections if one is not self)
        given_up = max((one for one in others if one._waits), key=_patience, default=self)
        waited = self.loop.time() - given_up._since
        if waited >= PATIENCE or len(self.connections) > 2 * self._most:
            self.connections.discard(given_up)
            given_up.transport.abort()

    def _watch(self) -> None:
        """Set the timer anew if the connection waits for something else than before."""
        waits = self._waiting()
        if waits == self._waits:
            return
        if self._timer:
            self._timer.cancel()
        self._waits, self._timer, self._since = waits, None, self.loop.time()
        if waits:
            head = waits[0] == "head"
            seconds = self._limits.head_seconds if head else self._limits.timeout + GRACE
            self._timer = self.loop.call_later(seconds, self.transport.abort)

    def _waiting(self) -> tuple[Wait, object] | None:
        """What the connection waits for, and in which request; None while a request is answered."""
        cycle = self.cycle
        if self.transport.is_closing() or self.flow.write_paused:
            return "answer", cycle
        if cycle is None or (cycle.response_complete and not cycle.more_body):
            return "head", cycle
        if cycle.more_body:
            return "body", cycle
        return ("answer", cycle) if cycle.response_started else None


def _patience(connection: TimedProtocol) -> tuple[bool, float]:
    """The largest is given up first: without a whole head, and longest without news."""
    waits = connection._waits
    return waits is not None and waits[0] == "head", -connection._since


class _Parts(h11.Connection):
    """Refuses a body in tiny parts: each costs as much time as one of 64 KiB."""

    _small = 0

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._small = 0
        elif isinstance(event, h11.Data) and len(event.data) < SMALL:
            self._small += 1
            if self._small > SMALL_PARTS:
                raise h11.RemoteProtocolError("the body comes in too many small parts")
        return event


def _open_files() -> int:
    """The files and connections that this process may have open."""
    if resource is None:
        return 4096
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 4096 if soft == resource.RLIM_INFINITY else max(64, soft)
