"""No second holds more rows than the rate, whoever sends them; no permission is exceeded."""

import json
import multiprocessing
import os
import signal
import stat
import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.endpoint_servers import Server, serving
from tests.support.toy_endpoint import CLASSES, SHAPE, reach, rows, scores_of

from clonecost.errors import VictimError
from clonecost.result import Authorisation
from clonecost.victims.endpoints.pace import Pace, RowCap
from clonecost.victims.endpoints.shared_state import Purse, SharedState

URL = "https://shop.example/v2/models/m"
PERMIT = Authorisation(
    owner="Shop Ltd", granted_by="A. Buyer", date="2026-01-31", scope="staging", rows=10
)


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def most_in_a_second(sent: list[tuple[float, int]]) -> int:
    """The rows of the fullest second, both ends included."""
    return max(sum(n for at, n in sent if first <= at <= first + 1) for first, _ in sent)


@settings(max_examples=60)
@given(
    rate=st.one_of(st.floats(0.05, 3), st.integers(1, 200).map(float), st.floats(1, 500)),
    sizes=st.lists(st.tuples(st.integers(1, 300), st.floats(0, 2)), min_size=1, max_size=40),
    began=st.floats(0, 1e6),
    apart=st.sampled_from([0.0, 5e5, -5e5]),
)
def test_no_second_holds_more_than_the_rate(
    tmp_path_factory: pytest.TempPathFactory, rate: float, sizes: list[tuple[int, float]],
    began: float, apart: float,
) -> None:  # fmt: skip
    """As two processes have it, of one machine or of two that were started at other times."""
    folder, clock = tmp_path_factory.mktemp("pace"), Clock(began)
    states = [SharedState(URL, folder) for _ in range(2)]
    for state in states:
        state.time = lambda: 1e9 + clock.now  # type: ignore[method-assign]
    one = Pace(states[0], rate, clock=clock, machine="up since 0.0", sleep=clock.sleep)
    other = Pace(
        states[1], rate, clock=lambda: clock.now + apart, machine=f"up since {apart}",
        sleep=clock.sleep,
    )  # fmt: skip
    sent: list[tuple[float, int]] = []
    for k, (size, idle) in enumerate(sizes):
        clock.sleep(idle)
        (one, other)[k % 2].admit(min(size, one.most))
        sent.append((clock.now, min(size, one.most)))
    assert most_in_a_second(sent) <= max(1, rate)
    if rate < 1:
        assert all(later - sooner >= 1 / rate for (sooner, _), (later, _) in
                   pairwise(sent))  # fmt: skip


def test_a_clock_of_the_disk_that_is_set_back_stops_nobody(tmp_path: Path) -> None:
    state, clock = SharedState(URL, tmp_path), Clock(1e9)
    state.time = clock  # type: ignore[method-assign]
    Pace(state, 5, machine="another").admit(5)
    clock.now -= 3_600
    Pace(state, 5, clock=clock, sleep=clock.sleep).admit(5)
    assert 1 <= clock.now - (1e9 - 3_600) < 2


def test_a_request_above_the_rate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="21 rows do not fit"):
        Pace(SharedState(URL, tmp_path), 20).admit(21)


def _audit(url: str, server: Server) -> None:
    reach(server, url, rate=40.0, settings={"batch_size": 4, "concurrency": 4}).answer(rows(60))


def test_two_processes_share_the_rate_of_one_server() -> None:
    with serving(Server(scores_of, list(SHAPE), CLASSES)) as server:
        begin = multiprocessing.get_context("fork")
        url = server.model_url
        both = [begin.Process(target=_audit, args=(url, _Address(url))) for _ in range(2)]
        for one in both:
            one.start()
        for one in both:
            one.join()
        assert [one.exitcode for one in both] == [0, 0]
    sent = [(at, count) for at, *_, count in server.requests if count]
    assert sum(count for _, count in sent) == 120
    assert most_in_a_second(sent) <= 40


class _Address:
    """What `reach` needs of a server that another process has."""

    def __init__(self, url: str) -> None:
        self.model_url = url


def _killed_with_rows_in_hand(folder: Path, permit: Authorisation) -> None:
    RowCap(SharedState(URL, folder), permit).take(4)
    os.kill(os.getpid(), signal.SIGKILL)


def test_the_rows_of_a_killed_worker_stay_counted(tmp_path: Path) -> None:
    begin = multiprocessing.get_context("fork")
    killed = begin.Process(target=_killed_with_rows_in_hand, args=(tmp_path, PERMIT))
    killed.start()
    killed.join()
    cap = RowCap(SharedState(URL, tmp_path), PERMIT)
    with pytest.raises(VictimError, match="allows 10 rows, and 4 were sent"):
        cap.take(7)
    cap.take(6)


def test_a_machine_without_the_shared_counts_sends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLONECOST_ENDPOINTS", str(tmp_path / "shared"))
    purse = Purse.here()
    assert purse == Purse.here()
    purse.use()
    for folder in (tmp_path / "none", tmp_path / "other"):
        monkeypatch.setenv("CLONECOST_ENDPOINTS", str(tmp_path / "other"))
        Purse.here()
        with pytest.raises(VictimError, match=r"does not have; nothing .* CLONECOST_ENDPOINTS"):
            Purse(folder, purse.mark).use()


def test_a_permission_counts_the_rows_of_all_runs(tmp_path: Path) -> None:
    RowCap(SharedState(URL, tmp_path), PERMIT).take(6)
    again = RowCap(SharedState(URL, tmp_path), PERMIT)
    again.take(4)
    again.give_back(2)
    with pytest.raises(VictimError, match=r"allows 10 rows, and 8 were sent.* more rows"):
        again.take(3)
    again.take(2)
    other = PERMIT.model_copy(update={"date": "2026-02-01"})
    RowCap(SharedState(URL, tmp_path), other).take(10)


@settings(max_examples=15)
@given(allowed=st.integers(0, 30), wanted=st.integers(1, 30), batch=st.integers(1, 8),
       concurrency=st.integers(1, 3))  # fmt: skip
def test_rows_above_a_permission_are_refused_before_one_of_them_is_sent(
    allowed: int, wanted: int, batch: int, concurrency: int
) -> None:
    with serving(Server(scores_of, list(SHAPE), CLASSES)) as server:
        permit = Authorisation(
            owner="Shop Ltd", granted_by="A. Buyer", date="2026-01-31", scope="staging",
            rows=allowed or None,
        )  # fmt: skip
        victim = reach(
            server, settings={"batch_size": batch, "concurrency": concurrency},
            authorisation=permit,
        )  # fmt: skip
        if not allowed or wanted <= allowed:
            assert len(victim.answer(rows(wanted))) == server.rows == wanted
            return
        with pytest.raises(VictimError, match=f"allows {allowed} rows, and 0 were sent"):
            victim.answer(rows(wanted))
        assert server.rows == 0
        assert len(victim.answer(rows(allowed))) == server.rows == allowed  # none was counted


def test_only_the_user_reads_the_state_and_a_damaged_one_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "endpoints"
    Pace(SharedState(URL, folder), 5).admit(3)
    (path,) = folder.glob("*.json")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert json.loads(path.read_text())["admitted"][0][-1] == 3
    same = Pace(SharedState("HTTPS://Shop.example:443/other", folder), 5)
    began = time.monotonic()
    same.admit(5)
    assert time.monotonic() - began > 0.9
    path.write_text("half of")
    with pytest.raises(VictimError, match=r"is damaged. Delete it"):
        same.admit(1)
    occupied = tmp_path / "file"
    occupied.write_text("")
    with pytest.raises(VictimError, match="CLONECOST_CACHE"):
        SharedState(URL, occupied / "endpoints")
