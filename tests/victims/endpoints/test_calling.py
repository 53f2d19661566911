"""What a server may do to one request: never without end in time or memory, always one sentence."""

import gzip
import json
import resource
import socket
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.hostile_server import Play, hostile
from tests.support.ledgers import booked
from tests.support.toy_endpoint import CLASSES, FAST, SHAPE, Counted, Start, rows

from clonecost.errors import CloneCostError, VictimError
from clonecost.victims import LoadedVictim
from clonecost.victims.endpoints import EndpointSettings, endpoint_victim
from clonecost.victims.endpoints.calling import longest_answer, seconds_until

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNK = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"


def endless(one: socket.socket) -> None:
    one.sendall(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    while True:
        one.sendall(CHUNK)


# 64 MiB of zeros, and a bomb in a bomb
SQUEEZED = {"gzip": gzip.compress(bytes(2**26), 1), "deflate": zlib.compress(bytes(2**26), 1)}
TWICE = gzip.compress(gzip.compress(bytes(2**20)))


def gzip_bomb(one: socket.socket) -> None:
    squeezed = SQUEEZED["gzip"]
    one.sendall(OK + b"Content-Encoding: gzip\r\n")
    one.sendall(b"Content-Length: %d\r\n\r\n" % len(squeezed) + squeezed)


def deflate_bomb(one: socket.socket) -> None:
    squeezed = SQUEEZED["deflate"]
    one.sendall(OK + b"Content-Encoding: deflate\r\n")
    one.sendall(b"Content-Length: %d\r\n\r\n" % len(squeezed) + squeezed)


def layers(one: socket.socket) -> None:
    one.sendall(OK + b"Content-Encoding: gzip, gzip\r\n")
    one.sendall(b"Content-Length: %d\r\n\r\n" % len(TWICE) + TWICE)


def drip(one: socket.socket) -> None:
    one.sendall(OK + b"Content-Length: 999999\r\n\r\n")
    while True:
        time.sleep(0.05)
        one.sendall(b"[")


def drip_of_headers(one: socket.socket) -> None:
    while True:
        time.sleep(0.05)
        one.sendall(b"H")


def interim(one: socket.socket) -> None:
    while True:
        one.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")


def slow_interim(one: socket.socket) -> None:
    while True:
        time.sleep(0.05)
        one.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")


def endless_headers(one: socket.socket) -> None:
    one.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        one.sendall(b"X-More: " + b"y" * 1000 + b"\r\n")


def endless_error(one: socket.socket) -> None:
    one.sendall(b"HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        one.sendall(CHUNK)


def garbage(one: socket.socket) -> None:
    one.sendall(b"\x00\xff" * 50 + b"\r\n\r\n")
    one.shutdown(socket.SHUT_RDWR)


PLAYS: dict[str, tuple[Play, str]] = {
    "endless body": (endless, "is longer than 1,000,000 bytes"),
    "gzip bomb": (gzip_bomb, "is longer than 1,000,000 bytes"),
    "deflate bomb": (deflate_bomb, "is longer than"),
    "layers": (layers, "a garbled answer: its compression has several layers"),
    "drip": (drip, "was not complete after 0.3 s"),
    "drip of headers": (drip_of_headers, "was not complete after 0.3 s"),
    "100-continue": (interim, "no answer|was not complete|longer than"),
    "slow 100-continue": (slow_interim, "was not complete after 0.3 s"),
    "endless headers": (endless_headers, "no answer"),
    "endless error": (endless_error, "it answered 500 Oops: x{200}"),
    "garbage": (garbage, "no answer"),
}


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
        began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(VictimError, match=sentence) as failed:
            oracle(rows(8))
        assert time.monotonic() - began < 5
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert "\n" not in str(failed.value)
    assert len(str(failed.value)) < 700
    assert grown < 120_000  # KiB, the server's own included
    assert booked(tmp_path).lost in (4, 5)  # the one request that went out, and a row on its own


def test_the_limit_of_an_answer_follows_rows_classes_and_request() -> None:
    assert longest_answer(32, 1000, 0) < 10 * 2**20
    assert longest_answer(64, 1000, 0) > longest_answer(32, 1000, 0) > longest_answer(32, 10, 0)
    assert longest_answer(1, None, 0) == longest_answer(1, 1000, 0)
    assert longest_answer(1, 10, 10**7) > 2 * 10**7


def test_the_default_deadline_is_four_time_outs(counted: Counted) -> None:
    with hostile(drip) as url, pytest.raises(VictimError, match=r"not complete after 0.8 s"):
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


@settings(max_examples=300)
@given(st.text(max_size=40))
def test_any_retry_after_is_a_time(text: str) -> None:
    assert seconds_until(text) >= 0
