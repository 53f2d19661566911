"""What a server may do to one request: never without end in time or memory, always one sentence."""

import gzip
import json
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpcore2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.hostile_server import OK, Play, compressed, hostile, repeated
from tests.support.ledgers import booked
from tests.support.memory import peak_of_process
from tests.support.toy_endpoint import CLASSES, FAST, SHAPE, Counted, Start, rows

from clonecost.errors import CloneCostError, SpecError, VictimError
from clonecost.victims import LoadedVictim
from clonecost.victims.endpoints import EndpointSettings, endpoint_victim
from clonecost.victims.endpoints.bounded_network import BoundedNetwork
from clonecost.victims.endpoints.calling import longest_answer, seconds_until

CHUNK = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
ZEROS = bytes(2**26)
TWICE = gzip.compress(gzip.compress(bytes(2**20)))  # a bomb in a bomb
DRIP = repeated(OK + b"Content-Length: 999999\r\n\r\n", b"[", pause=0.05)


def garbage(one: socket.socket) -> None:
    one.sendall(b"\x00\xff" * 50 + b"\r\n\r\n")
    one.shutdown(socket.SHUT_RDWR)


PLAYS: dict[str, tuple[Play, str]] = {
    "endless body": (repeated(OK + CHUNKED, CHUNK), "is longer than 1,000,000 bytes"),
    "gzip bomb": (compressed("gzip", gzip.compress(ZEROS, 1)), "is longer than 1,000,000 bytes"),
    "deflate bomb": (compressed("deflate", zlib.compress(ZEROS, 1)), "is longer than"),
    "layers": (compressed("gzip, gzip", TWICE),
               "a garbled answer: its compression has several layers"),
    "drip": (DRIP, "was not complete after 0.3 s"),
    "drip of headers": (repeated(b"", b"H", pause=0.05), "was not complete after 0.3 s"),
    "100-continue": (repeated(b"", CONTINUE), "no answer|was not complete|longer than"),
    "slow 100-continue": (repeated(b"", CONTINUE, pause=0.05), "was not complete after 0.3 s"),
    "endless headers": (repeated(OK, b"X-More: " + b"y" * 1000 + b"\r\n"), "no answer"),
    "endless error": (repeated(b"HTTP/1.1 500 Oops\r\n" + CHUNKED, CHUNK),
                      "it answered 500 Oops: x{200}"),
    "garbage": (garbage, "no answer"),
}  # fmt: skip


def aimed(url: str, **how: Any) -> LoadedVictim:
    """A victim behind a JSON API, which needs no answer before the first row."""
    chosen = {
        "body": {"instances": "$inputs"},
        "answers": "p",
        "timeout": 0.2,
        "deadline": 0.3,
        "attempts": 2,
        "batch_size": 4,
        "concurrency": 2,
        "answer_bytes": 10**6,
        **how,
    }
    return endpoint_victim(
        url, input_shape=SHAPE, num_classes=CLASSES, rate=FAST,
        settings=EndpointSettings.model_validate(chosen),
    )  # fmt: skip


@pytest.mark.parametrize("what", PLAYS)
def test_every_hostile_answer_ends_in_one_sentence(
    what: str, counted: Counted, tmp_path: Path
) -> None:
    play, sentence = PLAYS[what]
    with hostile(play) as url:
        oracle = counted(aimed(url))
        began, before = time.monotonic(), peak_of_process(forget=True)
        with pytest.raises(VictimError, match=sentence) as failed:
            oracle(rows(8))
        assert time.monotonic() - began < 5
        grown = peak_of_process() - before
    assert "\n" not in str(failed.value)
    assert len(str(failed.value)) < 700
    assert grown < 120_000_000  # bytes, the server's own included
    assert booked(tmp_path).lost in (4, 5)  # the one request that went out, and a row on its own


def grpc(one: socket.socket) -> None:
    """The first frames of grpcio 1.85 to a request of HTTP/1.1, and its end."""
    one.sendall(bytes.fromhex("000018040000000000000400400000000500400000000600004000fe0300000001"
                              "00000408000000000000003f0001"))  # fmt: skip
    one.shutdown(socket.SHUT_RDWR)


def test_a_grpc_server_is_named_and_no_row_is_lost(counted: Counted, tmp_path: Path) -> None:
    with hostile(grpc) as url:
        oracle = counted(aimed(url))
        with pytest.raises(VictimError, match=r"speaks HTTP/2 alone, as a gRPC server.*HTTP addr"):
            oracle(rows(8))
        with pytest.raises(VictimError, match="speaks HTTP/2 alone"):
            endpoint_victim(f"{url}/v2/models/toy", input_shape=SHAPE, num_classes=CLASSES)
    assert booked(tmp_path).lost == 0


def test_the_limit_of_an_answer_follows_rows_classes_and_request() -> None:
    assert longest_answer(32, 1000, 0) < 10 * 2**20
    assert longest_answer(64, 1000, 0) > longest_answer(32, 1000, 0) > longest_answer(32, 10, 0)
    assert longest_answer(1, None, 0) == longest_answer(1, 1000, 0)
    assert longest_answer(1, 10, 10**7) > 2 * 10**7


def test_the_default_deadline_is_four_time_outs(counted: Counted) -> None:
    with hostile(DRIP) as url, pytest.raises(VictimError, match=r"not complete after 0.8 s"):
        aimed(url, deadline=None, attempts=1).answer(rows(2))


def cut_short(status: int, *headers: bytes) -> Play:
    """An answer whose body does not come as its headers say."""

    def play(one: socket.socket) -> None:
        lines = b"".join(header + b"\r\n" for header in headers)
        one.sendall(b"HTTP/1.1 %d Said\r\n%sContent-Length: 40\r\n\r\nbad pixels" % (status, lines))
        one.shutdown(socket.SHUT_RDWR)

    return play


BROKEN: dict[str, tuple[bytes, ...]] = {
    "cut": (), "garbled": (b"Content-Encoding: gzip",),
    "layers": (b"Content-Encoding: gzip, gzip",),
}  # fmt: skip


@pytest.mark.parametrize("status", [400, 401, 404, 422, 429])
@pytest.mark.parametrize("how", BROKEN)
def test_a_refusal_is_one_whatever_becomes_of_its_words(
    status: int, how: str, counted: Counted, tmp_path: Path
) -> None:
    with (
        hostile(cut_short(status, *BROKEN[how])) as url,
        pytest.raises(VictimError, match=f"answered {status} Said"),
    ):
        counted(aimed(url))(rows(2))
    assert booked(tmp_path).lost == 0


@pytest.fixture
def slow_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Names are looked up once the event is set, at the latest after 5 s."""
    known, look_up = threading.Event(), socket.getaddrinfo

    def waiting(*how: Any, **named: Any) -> Any:
        known.wait(5)
        return look_up(*how, **named)

    monkeypatch.setattr(socket, "getaddrinfo", waiting)
    yield known
    known.set()


def test_the_look_up_of_a_name_is_part_of_a_request(
    slow_names: threading.Event, counted: Counted, tmp_path: Path
) -> None:
    began = time.monotonic()
    with (
        hostile(garbage) as url,
        pytest.raises(VictimError, match=r"no connection: the request was not complete after 0.2"),
    ):
        counted(aimed(url, timeout=3.0, deadline=0.2, attempts=1))(rows(2))
    assert time.monotonic() - began < 3
    assert booked(tmp_path).lost == 0


def test_a_connection_that_comes_too_late_is_closed(slow_names: threading.Event) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        with pytest.raises(httpcore2.ConnectTimeout):
            BoundedNetwork().connect_tcp("127.0.0.1", server.getsockname()[1], timeout=0.05)
        slow_names.set()
        late, _ = server.accept()
        with late:
            late.settimeout(5)
            assert late.recv(1) == b""


@pytest.mark.parametrize("media", ["application/json; charset=utf-8", "application/vnd.shop+json"])
def test_the_users_own_media_type_is_sent(media: str) -> None:
    heads: list[bytes] = []
    with hostile(garbage, heads) as url, suppress(VictimError):
        aimed(url, headers={"content-TYPE": media}, attempts=1).answer(rows(2))
    types = [line for line in heads[0].split(b"\r\n") if line.lower().startswith(b"content-type:")]
    assert [line.split(b": ")[1].decode() for line in types] == [media]


@pytest.mark.parametrize(("header", "how"), [
    ("Content-Type", {"body": None}),
    ("content-type", {"send": "multipart", "body": {"file": "$input"}}),
    ("Content-Length", {}), ("Transfer-encoding", {}), ("inference-header-content-length", {}),
])  # fmt: skip
def test_a_header_that_each_body_needs_is_refused_by_name(header: str, how: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=rf"endpoint\.headers sets {header}, which each request"):
        aimed("http://127.0.0.1:9/v2/models/toy", headers={header: "text/plain"}, **how)


@pytest.mark.parametrize(
    "name", ["content-type", "Content-Type", "CONTENT-TYPE", "accept", "Accept"]
)
def test_no_header_is_sent_twice(name: str) -> None:
    def play(one: socket.socket) -> None:
        scores = [[1 / CLASSES] * CLASSES] * 2
        body = json.dumps({"p": scores}).encode()
        one.sendall(OK + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    heads: list[bytes] = []
    with hostile(play, heads) as url:
        aimed(url, headers={name: "application/json"}).answer(rows(2))
    (head,) = heads
    names = [line.split(b":")[0].lower() for line in head.split(b"\r\n")[1:]]
    assert len(names) == len(set(names))
    sent = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    assert sent[name.lower().encode()] == b"application/json"


SECRET = "pa'55\"w0rd-\\of-the-shop"


@pytest.mark.parametrize("status", [400, 403, 302, 500])
@pytest.mark.parametrize("place", ["body", "phrase", "location"])
def test_what_a_server_repeats_is_hidden_in_message_and_ledger(
    status: int, place: str, counted: Counted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_KEY", SECRET)
    echo = repr({"key": SECRET}).encode()
    said = {"body": (b"", b"", b"~" * 190 + echo), "phrase": (echo, b"", b""),
            "location": (b"", b"Location: http://x/" + echo + b"\r\n", b"")}[place]  # fmt: skip
    reason, header, body = said

    def play(one: socket.socket) -> None:
        head = b"HTTP/1.1 %d %s\r\n%sContent-Length: %d\r\n\r\n"
        one.sendall(head % (status, reason, header, len(body)) + body)

    with hostile(play) as url:
        victim = aimed(f"{url}/c?key=env:SHOP_KEY", headers={"X-Api-Key": "env:SHOP_KEY"})
        with pytest.raises(CloneCostError) as failed:
            counted(victim)(rows(2))
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    for at in range(len(SECRET) - 7):
        assert SECRET[at : at + 8] not in str(failed.value)
        assert SECRET[at : at + 8].encode() not in kept


def test_a_secret_is_filled_in_everywhere_and_no_cookie_comes_back(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_KEY", "pa55&w0rd")
    seen: list[Any] = []
    server = start(reply=lambda scores: {"p": scores.tolist()})
    server.scenes += [("status", 503, {"Set-Cookie": "id=1", "Retry-After": "0"}, "")]
    victim = aimed(
        f"{server.url}/c?key=env:SHOP_KEY", row={"b64": "$input", "token": "env:SHOP_KEY"},
        headers={"X-Anything": "k env:SHOP_KEY"}, answer_bytes=None, timeout=5.0, deadline=None,
    )  # fmt: skip
    victim.answer(rows(2))
    seen += [headers for _, path, headers, _ in server.requests if "pa55%26w0rd" in path]
    assert len(seen) == len(server.requests) == 3
    assert all("cookie" not in headers for headers in seen)
    assert all(headers["x-anything"] == "k pa55&w0rd" for headers in seen)
    assert all(one["token"] == "pa55&w0rd" for body in server.bodies for one in body["instances"])
    assert victim.endpoint is not None
    assert "pa55" not in repr(victim.endpoint())


SPANS = st.integers(0, 10**9)  # seconds
PADDING = st.text(" \t", max_size=2)


@settings(max_examples=100)
@given(SPANS, PADDING, PADDING)
def test_a_retry_after_in_seconds_is_that_time(seconds: int, before: str, after: str) -> None:
    assert seconds_until(f"{before}{seconds}{after}") == seconds


@settings(max_examples=100)
@given(st.integers(-(10**7), 10**7), st.booleans(), st.integers(-14, 14))
def test_a_retry_after_as_a_date_is_the_time_until_it(offset: int, gmt: bool, zone: int) -> None:
    at = datetime.now(UTC) + timedelta(seconds=offset)
    there = at if gmt else at.astimezone(timezone(timedelta(hours=zone)))
    # the header has whole seconds, and some time passes until it is read
    assert max(0, offset - 5) <= seconds_until(format_datetime(there, usegmt=gmt)) <= max(0, offset)


@settings(max_examples=200)
@given(st.text(max_size=40) | st.from_regex(r"-?[0-9]{0,400}([.,e][0-9]+)?", fullmatch=True))
def test_any_retry_after_is_a_time(text: str) -> None:
    assert seconds_until(text) >= 0
