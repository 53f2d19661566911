"""A server that answers as no decent one does: with bytes that a test chooses, at its own pace."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Play = Callable[[socket.socket], None]
OK = b"HTTP/1.1 200 OK\r\n"


def repeated(head: bytes, piece: bytes, pause: float = 0) -> Play:
    """`head`, then `piece` again and again, `pause` seconds apart, until the client has gone."""

    def play(one: socket.socket) -> None:
        one.sendall(head)
        while True:
            time.sleep(pause)
            one.sendall(piece)

    return play


def compressed(encoding: str, content: bytes) -> Play:
    """One whole answer whose body is said to be compressed in this way."""

    def play(one: socket.socket) -> None:
        head = f"Content-Encoding: {encoding}\r\nContent-Length: {len(content)}\r\n\r\n"
        one.sendall(OK + head.encode() + content)

    return play


@contextmanager
def hostile(play: Play, heads: list[bytes] | None = None) -> Iterator[str]:
    """Its address; `play` answers each request of each connection, after its body has come.

    Args:
        heads: gets the head of each request.
    """
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.05)

        def accept() -> None:
            while not stop.is_set():
                with suppress(TimeoutError):
                    one, _ = listening.accept()
                    threading.Thread(target=answer, args=(one,), daemon=True).start()

        def answer(one: socket.socket) -> None:
            with one, suppress(OSError):
                while head := _request(one):
                    if heads is not None:
                        heads.append(head)
                    play(one)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        stop.set()
        thread.join()


def _request(one: socket.socket) -> bytes:
    """Read one request and return its head; nothing at the end of the connection."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := one.recv(65536)):
            return b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n")
               if line.startswith(b"content-length:")]  # fmt: skip
    missing = int(lengths[0]) - len(body) if lengths else 0
    while missing > 0:
        missing -= len(one.recv(65536))
    return head
