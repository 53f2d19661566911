"""Runs whose folders lie at an address: they go on on another machine, and buy nothing twice."""

import os
import pickle
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from tests.support.cli_runs import agree, asked, assert_one_sentence, run
from tests.support.toy_suite import edited
from tests.support.workbench import TEST_ROWS

from clonecost.persistence import run_store
from clonecost.suite import read_results
from clonecost.workers.pool import Ended, Placed

PLACE = "memory://bucket/toy"
WATCHED = """
import os
import time
import fsspec
import own

def probs(inputs):
    there = fsspec.filesystem("memory").find("/bucket")
    if os.environ.get("OWN_FIRST"):
        assert not [name for name in there if name.endswith("ledger.sqlite")], there
    if os.environ.get("OWN_FAILS") and len(inputs) == 10:
        raise ConnectionError("the API went away")
    if os.environ.get("OWN_LOST") and len(inputs) == 10:
        made, ends = own.copies[0], time.monotonic() + 20
        while own.copies[0] < made + 2:  # one that began after all earlier rows
            assert time.monotonic() < ends
            time.sleep(0.01)
        raise ConnectionError("the machine is lost")
    return own.probs(inputs)
"""


@pytest.fixture
def words(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The suite of one row; while its first run goes on, no ledger is at the address."""
    (tmp_path / "watched.py").write_text(WATCHED)
    monkeypatch.syspath_prepend(str(tmp_path))
    edited(toy, '"own:probs"', '"watched:probs"')
    yield ["suite", toy, *agree("code:watched:probs"), "--row", "ours", "--out", PLACE]
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda name: monkeypatch.setenv("CLONECOST_CACHE", str(tmp_path / name))


def at_place() -> list[str]:
    return sorted(fsspec.filesystem("memory").find("/bucket/toy"))


def test_a_run_that_failed_goes_on_on_another_machine(
    words: list[Any], machine: Callable[[str], None], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    machine("a")
    with monkeypatch.context() as failing:
        failing.setenv("OWN_FAILS", "1")
        failing.setenv("OWN_FIRST", "1")
        assert run(*words, "--seed", "0").status == 2
    log = tmp_path / "asked"
    assert len(asked(log)) == TEST_ROWS  # paid for on the first machine
    assert "/bucket/toy/small/mine/ours/seed0/ledger.sqlite" in at_place()
    machine("b")
    said = run(*words, "--seed", "0")
    assert said.status == 0, said.err
    assert len(asked(log)) <= TEST_ROWS + 40 + 20  # and the spot check
    assert "/bucket/toy/small/table.html" in at_place()

    machine("c")
    before = len(asked(log))
    assert run(*words, "--seed", "0").status == 0
    assert len(asked(log)) == before
    cells = Path(os.environ["CLONECOST_CACHE"]) / "copies"
    (results,) = cells.glob("*/small/results.json")
    assert read_results(results).cell("ours", "mine").seeds == [0]


def test_a_machine_that_is_lost_leaves_its_last_copy(
    words: list[Any], machine: Callable[[str], None], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    machine("a")
    copies, copy = [0], run_store.RunStore.push_unfinished

    def counted(store: run_store.RunStore, folder: Path) -> None:
        copy(store, folder)
        copies[0] += 1

    with monkeypatch.context() as losing:
        losing.setattr("own.copies", copies, raising=False)
        losing.setattr(run_store.RunStore, "push_unfinished", counted)
        losing.setenv("OWN_LOST", "1")
        losing.setattr(run_store, "EVERY", 0.02)
        losing.setattr(run_store.RunStore, "push", lambda *_: None)  # in the end: it is lost
        assert run(*words, "--seed", "0").status == 2
    machine("b")
    said = run(*words, "--seed", "0")
    assert said.status == 0, said.err
    assert len(asked(tmp_path / "asked")) <= TEST_ROWS + 40 + 20  # no test row twice; a check


def test_workers_share_no_disk_and_one_of_them_is_full(
    words: list[Any], machine: Callable[[str], None], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    limits = [16_384, resource.RLIM_INFINITY]  # bytes a file, of each worker's disk

    def pool(tasks: Placed, beat: Callable[[], object]) -> Iterator[Ended]:
        """One worker after the other, each with a disk of its own."""
        for (place, task), limit in zip(tasks, limits, strict=False):
            machine(f"worker{place}")
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            copy = pickle.loads(pickle.dumps(task))
            assert not copy.at_home
            ended = copy.call()
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
            machine("caller")
            yield place, ended

    monkeypatch.setattr("clonecost.workers.pool_of", lambda _: pool)
    machine("caller")
    words += ["--seed", "0", "--seed", "1", "--workers", "2"]
    said = run(*words)
    assert said.status == 2
    assert "seed 0: " in said.err
    assert "ledger.sqlite cannot grow: the disk is full" in said.err
    assert "1 of 2 runs failed" in said.err
    (results,) = (tmp_path / "caller" / "copies").glob("*/small/results.json")
    assert read_results(results).cell("ours", "mine").seeds == [1]
    limits[0] = resource.RLIM_INFINITY
    said = run(*words)
    assert said.status == 0, said.err
    assert read_results(results).cell("ours", "mine").seeds == [0, 1]
    rows = TEST_ROWS + 40
    assert len(asked(tmp_path / "asked")) <= 2 * rows + TEST_ROWS + 20  # those in flight, a check


def test_an_audit_is_copied_when_it_ends(
    words: list[Any], machine: Callable[[str], None], bench: Path
) -> None:
    machine("a")
    audit = ["audit", "watched:probs", *agree("code:watched:probs"), "--test", "test.npz",
             "--proxy", "proxy.npz", "--attack", "knockoff:shared", "--budget", "20",
             "--set", "knockoff.epochs=1", "--student", "lenet", "--out", PLACE]  # fmt: skip
    said = run(*audit)
    assert said.status == 0, said.err
    names = {name.removeprefix("/bucket/toy/") for name in at_place()}
    assert {"result.json", "ledger.sqlite", "clone.safetensors", "copy.json"} <= names
    machine("b")
    said = run(*audit)
    assert "the run has finished already" in said.err


def test_other_commands_refuse_an_address(toy: Path) -> None:
    assert_one_sentence(
        run("defend", "own:probs", "--out", PLACE), "needs a folder of this machine"
    )
    said = run("suite", toy, *agree("code:own:probs"), "--out", "nosuch://bucket")
    assert_one_sentence(said, "no address that fsspec knows")
