"""Bind, serve until somebody stops it, and close in order."""

import contextlib
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
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        return socket.create_server(address[:2], family=family, backlog=128)
    except (OSError, OverflowError, UnicodeError) as error:
        raise SpecError(
            f"cannot listen on {host} port {port} ({error}): choose others with --host and --port"
        ) from error


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
