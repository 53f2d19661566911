"""Bind a socket, serve until a signal, and close in order."""

import contextlib
import os
import socket

import uvicorn
from fastapi import FastAPI

from clonecost.errors import SetKey, SpecError
from clonecost.serving.connections import Config
from clonecost.serving.limits import Limits
from clonecost.serving.logs import to_standard_error

SHUTDOWN_TIMEOUT = 10  # seconds that requests in progress have to end when the server is stopped


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any free one.

    Raises:
        SpecError: the address does not belong to this machine, or the port is taken.

    Example:
        >>> with bind("127.0.0.1", 0) as listening:
        ...     print(address_of(listening))
        http://127.0.0.1:40123
    """
    try:
        # asyncio turns Nagle's algorithm off only if the socket states its protocol; with Nagle's
        # algorithm every answer waits 40 ms for a delayed acknowledgement
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
    except (OSError, OverflowError, UnicodeError) as error:
        raise _unusable(host, port, error) from error
    try:
        if os.name == "posix":  # elsewhere it would let two servers share a port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise _unusable(host, port, error) from error
    return listening


def _unusable(host: str, port: int, error: Exception) -> SpecError:
    return SpecError(f"The server cannot listen on {host} port {port} ({error})",
                     SetKey("port"), SetKey("host"))  # fmt: skip


def address_of(listening: socket.socket) -> str:
    """`http://HOST:PORT`, the address for a client on this machine."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def server(app: FastAPI, limits: Limits) -> uvicorn.Server:
    """A server of the application, whose connections have these limits; it has not begun."""
    return uvicorn.Server(
        Config(app, limits, log_config=None, timeout_graceful_shutdown=SHUTDOWN_TIMEOUT)
    )


def run(app: FastAPI, listening: socket.socket, limits: Limits) -> None:
    """Serve until Ctrl-C or SIGTERM; requests in progress are answered first."""
    with to_standard_error(), contextlib.suppress(KeyboardInterrupt):  # raised after the closing
        server(app, limits).run(sockets=[listening])
