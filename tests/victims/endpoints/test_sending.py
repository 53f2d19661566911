"""Requests that fail, time out or wait: the rows of every failure are counted."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.support.endpoint_servers import Scene, Server, serving
from tests.support.ledgers import booked
from tests.support.toy_endpoint import CLASSES, SHAPE, Counted, Start, reach, rows, scores_of

from clonecost.errors import LostRowsError, VictimError
from clonecost.victims.endpoints import endpoint_victim
from clonecost.victims.endpoints.calling import seconds_until

BUSY: Scene = ("status", 429, {"Retry-After": "0"}, "slow down")


HEALED: dict[str, tuple[list[Scene], int]] = {  # what happens, and rows lost by it
    "busy": ([BUSY] * 3, 0),
    "server error": ([("status", 500, {}, "oops")], 4),
    "unavailable": (
        [("status", 503, {"Retry-After": "0"}, "")] * 2,
        5,
    ),  # a request, then a row of it
    "reset": (["reset"], 4),
    "half an answer": (["half"], 4),
    "one after the other": (["reset", BUSY, ("status", 502, {}, ""), BUSY], 5),
}


@pytest.mark.parametrize("what", HEALED)
@pytest.mark.parametrize("binary", [True, False])
def test_a_failure_that_passes_costs_what_the_server_worked_on(
    what: str, binary: bool, start: Start, counted: Counted, tmp_path: Path
) -> None:
    scenes, lost = HEALED[what]
    server = start(scenes=list(scenes), binary=binary)
    # one at a time: else it is open which of two requests meets a scene
    oracle = counted(reach(server, settings={"concurrency": 1}))
    torch.testing.assert_close(oracle(rows(20)), scores_of(rows(20)))
    totals = booked(tmp_path)
    assert (totals.settled, totals.lost) == (20, lost)
    assert server.rows == totals.settled + totals.lost
    assert totals.faults == []


def test_a_timeout_is_lost_and_asked_again(start: Start, counted: Counted, tmp_path: Path) -> None:
    server = start(scenes=["slow"])
    oracle = counted(reach(server, settings={"timeout": 0.3, "concurrency": 1}))
    torch.testing.assert_close(oracle(rows(8)), scores_of(rows(8)))
    assert booked(tmp_path).lost == 4
    assert server.rows == 12


FATAL: dict[str, tuple[list[Scene], str, int]] = {
    "forbidden": ([("status", 403, {}, "no\nentry")] * 9, "answered 403 Forbidden: no entry", 0),
    "redirect": ([("status", 302, {"Location": "http://elsewhere.example/"}, "")] * 9,
                 "302 Found, a redirect", 0),
    "dead": ([("status", 500, {}, "oops")] * 99, "did not answer in 3 attempts .*500 .*oops", 10),
    "always busy": ([BUSY] * 99, "did not answer in 3 attempts .*429", 0),
    "a long pause": ([("status", 429, {"Retry-After": "9999"}, "")] * 9, "a pause of 9,999 s", 0),
    "one dead": ([BUSY] + ["reset"] * 99, "did not answer in 3 attempts", 6),
}  # fmt: skip


@pytest.mark.parametrize("what", FATAL)
def test_a_failure_that_stays_is_one_sentence_and_the_run_goes_on_later(
    what: str, start: Start, counted: Counted, tmp_path: Path
) -> None:
    scenes, sentence, lost = FATAL[what]
    server = start()
    victim = reach(server, settings={"attempts": 3})
    oracle = counted(victim)
    first = oracle(rows(20)[:8])
    server.scenes += scenes
    with pytest.raises(VictimError, match=sentence) as failed:
        oracle(rows(20)[8:])
    assert "\n" not in str(failed.value)
    totals = booked(tmp_path)
    assert (totals.settled, totals.lost) == (8, lost)
    assert server.rows == totals.settled + totals.lost
    server.scenes.clear()
    again = counted(victim)
    answers = again(rows(20))
    assert torch.equal(answers[:8], first)
    assert booked(tmp_path).settled == 20
    assert server.rows == 20 + lost


def test_a_server_that_goes_away_costs_nothing(
    counted: Counted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clonecost.victims.endpoints.calling.IDLE", 0.0)  # a call each
    with serving(Server(scores_of, list(SHAPE), CLASSES)) as server:
        oracle = counted(reach(server, settings={"attempts": 2}))
        oracle(rows(8))
    with pytest.raises(VictimError, match=r"did not answer in 2 attempts \(no connection"):
        oracle(rows(3))
    assert server.rows == booked(tmp_path).settled == 8
    assert booked(tmp_path).lost == 0


def test_losses_stop_at_their_limit_whatever_the_server_does(
    start: Start, counted: Counted, tmp_path: Path
) -> None:
    server = start(scenes=["reset"] * 1000)
    victim = reach(server, settings={"attempts": 50})
    for _ in range(20):
        oracle = counted(victim, max_lost=17)
        with pytest.raises(LostRowsError, match=r"limit of lost rows \(17\) is reached"):
            oracle(rows(40))
        assert server.rows == booked(tmp_path).lost <= 17
    assert server.rows == 17
    server.scenes.clear()
    oracle = counted(victim, max_lost=30)
    assert len(oracle(rows(40))) == 40
    assert server.rows == 57


def test_an_interrupt_loses_what_went_out_and_nothing_else(
    start: Start, counted: Counted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start()
    oracle = counted(reach(server, settings={"concurrency": 4}))
    admitted: list[int] = []

    def admit(_: object, count: int) -> None:
        if len(admitted) == 2:
            raise KeyboardInterrupt
        admitted.append(count)

    monkeypatch.setattr("clonecost.victims.endpoints.pace.Pace.admit", admit)
    with pytest.raises(KeyboardInterrupt):
        oracle(rows(16))
    deadline = time.monotonic() + 5
    while server.rows < 8 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.rows == booked(tmp_path).lost == 8


NONSENSE: dict[str, tuple[dict[str, Any], str]] = {
    "nan": ({"spoil": lambda scores: scores * np.float32("nan")}, "4 of 4 rows with NaN"),
    "logits": ({"spoil": lambda scores: scores * 9}, "logits"),
    "classes": ({"spoil": lambda scores: scores[:, :5]}, "got 5 scores a row, want 6"),
    "rows": ({"spoil": lambda scores: scores[:3]}, r"to 4 rows .*got \(3, 6\)"),
    "shape": ({"spoil": lambda scores: scores[..., None].repeat(2, 2)}, r"got \(4, 6, 2\)"),
}


@pytest.mark.parametrize("what", NONSENSE)
@pytest.mark.parametrize("binary", [True, False])
def test_nonsense_is_lost_and_not_asked_again(
    what: str, binary: bool, start: Start, counted: Counted, tmp_path: Path
) -> None:
    how, sentence = NONSENSE[what]
    server = start(binary=binary, **how)
    oracle = counted(reach(server))
    with pytest.raises(VictimError, match=sentence):
        oracle(rows(4))
    assert server.rows == booked(tmp_path).lost == 4


@pytest.mark.parametrize(
    "body", ["", "no json", "[]", "{}", '{"outputs": []}', '{"outputs": [{"name": "scores"}]}',
             '{"outputs": [{"name": "scores", "datatype": "FP32", "shape": [4, 6], "data": [1]}]}'],
)  # fmt: skip
def test_an_answer_that_is_none_is_one_sentence(body: str, start: Start, counted: Counted) -> None:
    server = start(scenes=[("status", 200, {}, body)])
    with pytest.raises(VictimError, match="is no inference response") as failed:
        counted(reach(server))(rows(4))
    assert "\n" not in str(failed.value)


def test_a_request_that_is_too_large_says_so(
    start: Start, counted: Counted, tmp_path: Path
) -> None:
    server = start(most_rows=3)
    oracle = counted(reach(server))
    with pytest.raises(VictimError, match=r"413 .*at most 3 rows"):
        oracle(rows(4))
    assert server.rows == booked(tmp_path).lost == 0


@pytest.mark.parametrize("status", [401, 403, 404, 405, 413])
def test_a_refusal_of_the_request_stops_at_once(
    status: int, start: Start, counted: Counted, tmp_path: Path
) -> None:
    server = start(scenes=[("status", status, {}, "no")] * 99)
    with pytest.raises(VictimError, match=f"answered {status}"):
        counted(reach(server))(rows(20))
    asked = [path for _, path, *_ in server.requests if path.endswith("infer")]
    assert len(asked) == 1
    assert booked(tmp_path).lost == 0


def test_the_same_error_for_every_row_costs_a_few_rows(
    start: Start, counted: Counted, tmp_path: Path
) -> None:
    server = start(scenes=[("status", 500, {}, "CUDA error: device-side assert")] * 999)
    victim = reach(server, settings={"batch_size": 16, "concurrency": 4, "attempts": 5})
    with pytest.raises(VictimError, match=r"500 Internal Server Error: CUDA error: device-side"):
        counted(victim)(rows(90))
    assert server.rows == booked(tmp_path).lost == 16 + 4  # a request, then a row at a time


def test_no_second_gets_more_than_the_rate(start: Start, counted: Counted) -> None:
    server = start(scenes=[BUSY, ("status", 500, {}, "")])
    oracle = counted(reach(server, rate=100.0, settings={"batch_size": 8, "concurrency": 4}))
    began = time.monotonic()
    oracle(rows(60))
    took = time.monotonic() - began
    sent = sorted(at for at, path, *_ in server.requests if path.endswith("infer"))
    assert len(sent) == 11  # 8 requests, two of them again, and a row on its own
    assert took >= (60 + 16 - 8) / 100
    for first, last in zip(sent, sent[4:], strict=False):  # 4 requests of 8 rows later
        assert last - first >= 4 * 4 / 100 * 0.9  # the last of a call has 4 rows only


def test_a_request_is_no_larger_than_a_seconds_worth(start: Start) -> None:
    server = start()
    victim = reach(server, rate=2.0, settings={"batch_size": 8, "concurrency": 1})
    assert victim.rows_in_flight == 2
    by_default = endpoint_victim(server.model_url, input_shape=SHAPE, num_classes=CLASSES)
    assert by_default.endpoint is not None
    assert by_default.endpoint().rate == 100


def test_the_pause_that_is_asked_for_is_kept(start: Start, counted: Counted) -> None:
    server = start(scenes=[("status", 429, {"Retry-After": "1"}, "")])
    began = time.monotonic()
    counted(reach(server))(rows(2))
    assert time.monotonic() - began >= 1
    assert seconds_until("2.5") == 2.5
    assert seconds_until("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert seconds_until("Wed, 21 Oct 2115 07:28:00 GMT") > 1e9
    assert seconds_until("soon") == seconds_until("") == seconds_until("-3") == 0


def test_who_watches_is_told_of_a_pause_and_of_nothing_else(start: Start) -> None:
    server, told = start(), list[tuple[int, int]]()
    victim = reach(server, progress=lambda what, done, total: told.append((done, total)))
    victim.answer(rows(4))
    assert told == []
    server.scenes.append(BUSY)
    victim.answer(rows(4))
    assert told == [(0, 1), (1, 1)]
