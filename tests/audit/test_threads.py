"""The number of threads of a run: chosen by network, load and environment, and kept."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.support.toys import MakeAudit
from torch import nn

from clonecost.attacks.knockoff import Knockoff
from clonecost.audit import run_audit, threads
from clonecost.audit.threads import choose_threads, multiply_adds
from clonecost.audit.watcher import Watcher
from clonecost.result import read_result
from clonecost.types import LabelledInputs, ThreatModel

SMALL = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
LARGE = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.Conv2d(64, 64, 3, padding=1))


@pytest.fixture(autouse=True)
def four_idle_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    free(monkeypatch, 3.8)


def free(monkeypatch: pytest.MonkeyPatch, cores: float) -> None:
    monkeypatch.setattr(threads, "allowed_cores", lambda: 4.0)
    monkeypatch.setattr(threads, "free_cores", lambda: cores)


def test_the_work_of_a_row_is_counted_and_the_network_left_alone() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(288, 5))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert multiply_adds(network, (3, 8, 8)) == 8 * 6 * 6 * 27 + 288 * 5
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_small_network_has_one_thread_and_a_large_one_as_many_as_cores_are_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert choose_threads(None, [SMALL], (1, 8, 8)).number == 1
    assert choose_threads(None, [], (5,)).number == 1
    found = choose_threads(None, [LARGE], (3, 32, 32))
    assert (found.number, found.why) == (4, "3.8 of 4 cores are free")
    for cores, number in ((2.2, 2), (0.3, 1), (0.0, 1)):
        free(monkeypatch, cores)
        assert choose_threads(None, [LARGE], (3, 32, 32)).number == number


def test_what_the_user_says_goes_before_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")
    assert choose_threads(None, [SMALL], (1, 8, 8)).number == 3
    assert choose_threads(2, [SMALL], (1, 8, 8)).number == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert choose_threads(None, [SMALL], (1, 8, 8)).number == 1


def test_a_run_keeps_its_number_and_says_so(
    make_audit: MakeAudit, threat: ThreatModel, test_set: LabelledInputs, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.undo()  # the true number of threads is set and read
    before, told = torch.get_num_threads(), list[str]()

    def run(threads: int | None) -> tuple[int, str]:
        audit = make_audit(
            Knockoff(recipe="shared", epochs=1), threat=replace(threat, query_budget=20),
            test=test_set.take(slice(0, 20)), threads=threads, milestones=(),
        )  # fmt: skip
        found = run_audit(audit, Watcher(notice=told.append)).provenance
        return found.threads, found.threads_why

    assert run(2) == (2, "as stated")
    assert told == []
    assert run(None) == (2, "as stated")
    assert told == []
    assert run(1) == (2, "as stated")
    assert len(told) == 1
    assert "began with 2 thread(s)" in told[0]
    assert torch.get_num_threads() == before
    assert read_result(tmp_path / "run").provenance.threads == 2


def test_who_gets_fewer_threads_because_the_machine_is_busy_is_told(
    make_audit: MakeAudit, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, 0.2)
    monkeypatch.setattr(threads, "SMALL", 0)
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)
    told = list[str]()
    run_audit(make_audit(milestones=()), Watcher(notice=told.append))
    assert told == ["The run computes with 1 thread(s), because 0.2 of 4 cores are free"]
