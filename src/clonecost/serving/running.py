"""Bind, serve until somebody stops it, and close in order."""

import contextlib
import os
import socket

import uvicorn
from fastapi import FastAPI

from clonecost.errors import SpecError

GRACE = 10  # seconds that requests under way have to end when the server is stopped


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any free one.

    Raises:
        SpecError: the address is not this machine's, or the port is taken.
    """
    try:
        # asyncio turns Nagle's algorithm off only where the protocol is named: with it every answer
        # waits 40 ms for a delayed acknowledgement
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
    except (OSError, OverflowError, UnicodeError) as error:
        raise _cannot(host, port, error) from error
    try:
        if os.name == "posix":  # elsewhere it would let two servers share a port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise _cannot(host, port, error) from error
    return listening


def _cannot(host: str, port: int, error: Exception) -> SpecError:
    return SpecError(
        f"cannot listen on {host} port {port} ({error}): choose others with --host and --port"
    )


def address_of(listening: socket.socket) -> str:
    """`http://HOST:PORT` as a client on this machine writes it."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(app: FastAPI, listening: socket.socket) -> None:
    """Serve until Ctrl-C or SIGTERM; requests under way are answered first."""
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE
    )
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again when all is closed
        uvicorn.Server(config).run(sockets=[listening])
