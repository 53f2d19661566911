"""Clients that never end: half a head, half a body, an answer not taken, too many of them."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import httpx2
import pytest
import torch
from tests.support.live_server import in_json, live
from tests.support.toys import uniform

from clonecost.serving import Limits, ServedModel, make_app
from clonecost.types import PredictionApi

CLASSES = 1000
INFER = "/v2/models/toy/infer"
LIMITS = Limits(timeout=0.5, max_connections=8, max_rows=2000)
HEAD = f"POST {INFER} HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    api = PredictionApi(input_shape=(1,), num_classes=CLASSES)
    model = ServedModel(name="toy", victim=uniform(CLASSES), api=api)
    with live(make_app(model, LIMITS), LIMITS) as found:
        yield found


def dial(url: str) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), timeout=10)


def ends(connection: socket.socket) -> bytes:
    """What the server sends until it closes."""
    said = b""
    try:
        while part := connection.recv(65_536):
            said += part
    except ConnectionError:
        pass
    return said


HALVES = {
    "nothing": "",
    "half a line": "GET /v2",
    "half a head": "GET /v2 HTTP/1.1\r\nHost: localhost\r\nX-A: ",
    "no body": HEAD + "Content-Length: 100\r\n\r\n",
    "half a body": HEAD + "Content-Length: 100\r\n\r\n{",
    "half a chunk": HEAD + "Transfer-Encoding: chunked\r\n\r\n5\r\n{",
    "no last chunk": HEAD + "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
    "a body for no route": "GET /v2 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n",
    "a refused one": HEAD.replace("localhost", "evil") + "Content-Length: 100\r\n\r\n{",
}


@pytest.mark.parametrize("what", HALVES)
def test_half_a_request_ends_in_time(what: str, url: str) -> None:
    with dial(url) as connection:
        began = time.monotonic()
        connection.sendall(HALVES[what].encode())
        said = ends(connection)
        assert time.monotonic() - began < LIMITS.timeout + 4
    if what.startswith(("no ", "half a b", "half a c")):
        assert b"408" in said
        assert b"did not arrive within 0.5 s" in said


@pytest.mark.parametrize(
    "start", ["GET /v2 HTTP/1.1\r\nX-A: ", HEAD + "Content-Length: 9999\r\n\r\n"]
)
def test_a_byte_now_and_then_buys_no_time(start: str, url: str) -> None:
    with dial(url) as connection:
        connection.sendall(start.encode())
        began = time.monotonic()
        with pytest.raises(ConnectionError):
            while time.monotonic() - began < 10:
                connection.sendall(b"x")
                time.sleep(0.02)
        assert time.monotonic() - began < LIMITS.timeout + 4


def test_an_answer_that_is_not_taken_is_given_up(url: str) -> None:
    body = '{"inputs": [{"name": "pixels", "datatype": "FP32", "shape": [2000, 1], "data": [0' + (
        ", 0" * 1999 + "]}]}"
    )
    with dial(url) as connection:
        connection.sendall(f"{HEAD}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        time.sleep(LIMITS.timeout + 2.5)
        said = ends(connection)  # what was under way
    stated = int(said.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    assert len(said) < stated


def test_a_kept_connection_may_ask_again(url: str) -> None:
    with httpx2.Client(base_url=url) as client:
        for _ in range(3):
            assert client.post(INFER, json=in_json(torch.zeros(2, 1))).status_code == 200
            time.sleep(0.3)  # longer than a head may take, in all


def test_a_crowd_that_says_nothing_locks_nobody_out(url: str) -> None:
    with ExitStack() as crowd:
        for number in range(60):
            loris = crowd.enter_context(dial(url))
            if number % 2:
                loris.sendall(b"GET /v2 HTTP/1.1\r\nX-A: ")
            if number % 10 == 9:
                assert httpx2.get(f"{url}/v2", timeout=5).status_code == 200


def test_a_body_in_tiny_parts_is_refused(url: str) -> None:
    with dial(url) as connection:
        connection.sendall((HEAD + "Transfer-Encoding: chunked\r\n\r\n").encode())
        began = time.monotonic()
        with pytest.raises(ConnectionError):
            for _ in range(1000):
                connection.sendall(b"1\r\n \r\n" * 1000)
        assert time.monotonic() - began < 5


def test_pipelined_requests_are_answered(url: str) -> None:
    one = "GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n"
    with dial(url) as connection:
        connection.sendall(f"{one}\r\n{one}\r\n{one}Connection: close\r\n\r\n".encode())
        assert ends(connection).count(b"200 OK") == 3
