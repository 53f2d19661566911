"""Connections that hold a limit on the time and on the bytes of one whole request.

A time-out of a socket is a time without a byte: a server that sends one byte at a time, or any
number of 100-continue, never exceeds it. The limits here hold for all that a request does: wait for
a connection, look the server's name up, connect, send, and read headers, trailers and body, before
decompression.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any

import httpcore2

PIECE = 16_384  # bytes that are written at once, so that a slow reader cannot stretch a write


FIRST_FRAMES = (4, 7)  # SETTINGS and GOAWAY, with which a server of HTTP/2 begins


class TooLargeError(Exception):
    """The answer is longer than the limit of its request."""


class OtherProtocolError(Exception):
    """The server speaks HTTP/2 alone, as gRPC servers do, so that it has read no request."""


@dataclass
class Allowance:
    """What is left of the limits of one request; used by the one thread that does the request."""

    seconds: float
    bytes: int

    def __post_init__(self) -> None:
        self._ends, self._left = time.monotonic() + self.seconds, self.bytes

    def time_left(self) -> float:
        """Seconds until the request must be complete; negative after that."""
        return self._ends - time.monotonic()

    def take(self, count: int) -> None:
        """Count bytes that were read.

        Raises:
            TooLargeError: they are more than the request may read.
        """
        self._left -= count
        if self._left < 0:
            raise TooLargeError


_allowance: ContextVar[Allowance | None] = ContextVar("allowance", default=None)


@contextmanager
def allowing(allowance: Allowance) -> Iterator[None]:
    """Hold these limits for the request inside the `with`."""
    token = _allowance.set(allowance)
    try:
        yield
    finally:
        _allowance.reset(token)


def _within(timeout: float | None, late: type[httpcore2.TimeoutException]) -> float | None:
    """The time-out of one step, cut to the time that is left of the whole request."""
    allowance = _allowance.get()
    if allowance is None:
        return timeout
    left = allowance.time_left()
    if left <= 0:
        raise late
    return left if timeout is None else min(timeout, left)


def _in_time(
    seconds: float | None, connect: Callable[[], httpcore2.NetworkStream]
) -> httpcore2.NetworkStream:
    """The connection that `connect` makes, closed if it comes too late.

    The look-up of a name knows no time-out, so it happens in a thread that is waited for.

    Raises:
        httpcore2.ConnectTimeout: it does not come in time.
    """
    found: Future[httpcore2.NetworkStream] = Future()

    def work() -> None:
        try:
            stream = connect()
        except BaseException as error:
            with suppress(InvalidStateError):  # nobody waits any more
                found.set_exception(error)
            return
        try:
            found.set_result(stream)
        except InvalidStateError:
            stream.close()

    threading.Thread(target=work, name="connect", daemon=True).start()
    try:
        return found.result(seconds)
    except TimeoutError:
        if found.cancel():
            raise httpcore2.ConnectTimeout from None
        return found.result()  # it came at this moment


class BoundedStream(httpcore2.NetworkStream):
    def __init__(self, stream: httpcore2.NetworkStream) -> None:
        self._stream, self._begun = stream, False

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = self._stream.read(max_bytes, _within(timeout, httpcore2.ReadTimeout))
        if not self._begun and _is_frame(data):
            raise OtherProtocolError
        self._begun = True
        if allowance := _allowance.get():
            allowance.take(len(data))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for at in range(0, len(buffer), PIECE):
            left = _within(timeout, httpcore2.WriteTimeout)
            self._stream.write(buffer[at : at + PIECE], left)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        left = _within(timeout, httpcore2.ConnectTimeout)
        return BoundedStream(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class BoundedNetwork(httpcore2.NetworkBackend):
    """The network of a connection pool, whose streams keep to the allowance of each request."""

    def __init__(self) -> None:
        self._network = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        left = _within(timeout, httpcore2.ConnectTimeout)
        return BoundedStream(_in_time(left, lambda: self._network.connect_tcp(
            host, port, left, local_address, socket_options
        )))  # fmt: skip


def _is_frame(data: bytes) -> bool:
    """Whether the first bytes of a connection are the frame with which HTTP/2 begins (RFC 9113)."""
    whole_connection = data[5:9] == bytes(4)  # a frame of no stream
    return len(data) >= 9 and data[0] == 0 and data[3] in FIRST_FRAMES and whole_connection
