"""Copies of run folders at an address: fetched before, written in the end, never half."""

import json
import sys
from pathlib import Path

import fsspec
import pytest

from clonecost.errors import RunError, SpecError
from clonecost.persistence.run_store import COPY, RunStore, is_address

A, B = "machine-a", "machine-b"


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> "At":
    fsspec.filesystem("memory").store.clear()
    return At(monkeypatch, tmp_path)


class At:
    """The store as one machine has it, whose cache is its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, disks: Path) -> None:
        self.monkeypatch, self.disks = monkeypatch, disks

    def __call__(self, machine: str, address: str = "memory://bucket/runs") -> RunStore:
        self.monkeypatch.setenv("CLONECOST_CACHE", str(self.disks / machine))
        return RunStore(address)


def written(run: Path, ledger: str, **files: str) -> Path:
    run.mkdir(parents=True, exist_ok=True)
    for name, text in {"ledger.sqlite": ledger, **files}.items():
        (run / name).write_text(text)
    return run


def test_a_run_goes_on_elsewhere_from_its_copy(at: At) -> None:
    first = at(A)
    run = written(first.root / "seed0", "5 rows", old="x")
    (run / "snapshots").mkdir()
    (run / "snapshots" / "one").write_text("state")
    written(run, "5 rows", **{"ledger.sqlite-wal": "of this machine"})
    first.push(run)

    second = at(B)
    other = second.here(run)
    assert other != run
    second.fetch(other)
    assert (other / "ledger.sqlite").read_text() == "5 rows"
    assert (other / "snapshots" / "one").read_text() == "state"
    assert not (other / "ledger.sqlite-wal").exists()
    assert (other / "ledger.sqlite").stat().st_mode & 0o077 == 0
    written(other, "9 rows")
    (other / "old").unlink()
    second.push(other)

    again = at(A)
    again.fetch_all()
    assert (run / "ledger.sqlite").read_text() == "9 rows"
    assert not (run / "old").exists()
    aside = list(again.root.parent.glob("*-set-aside/*/ledger.sqlite"))
    assert [path.read_text() for path in aside] == ["5 rows"]


def test_work_of_this_machine_since_its_copy_stays(at: At) -> None:
    store = at(A)
    run = written(store.root, "5 rows")
    store.push(run)
    written(run, "7 rows")
    store.fetch(run)
    assert (run / "ledger.sqlite").read_text() == "7 rows"


def test_two_machines_do_not_overwrite_each_other(at: At) -> None:
    store = at(A)
    run = written(store.root / "seed0", "5 rows")
    store.push(run)
    second = at(B)
    second.fetch_all()
    written(second.root / "seed0", "6 rows")
    second.push_all()
    store = at(A)
    written(run, "7 rows")
    with pytest.raises(RunError, match="changed by another machine"):
        store.push(run)
    assert (run / "ledger.sqlite").read_text() == "7 rows"


def test_what_lies_beside_the_runs_is_copied_too(at: At) -> None:
    store = at(A)
    written(store.root / "small" / "seed0", "5 rows")
    (store.root / "small" / "table.md").write_text("a table")
    store.push_all()
    second = at(B)
    second.fetch_all()
    assert (second.root / "small" / "table.md").read_text() == "a table"
    assert (second.root / "small" / "seed0" / "ledger.sqlite").read_text() == "5 rows"


def test_a_copy_that_was_cut_off_is_none(at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    store = at(A)
    run = written(store.root, "5 rows")
    store.push(run)
    written(run, "9 rows")
    system = type(fsspec.filesystem("memory"))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(system, "put_file", full)
        with pytest.raises(RunError, match=r"memory://bucket/runs cannot be written .*No space"):
            store.push(run)
    second = at(B)
    second.fetch(second.root)
    assert not second.root.exists()
    at(A).push(run)
    second = at(B)
    second.fetch(second.root)
    assert (second.root / "ledger.sqlite").read_text() == "9 rows"


def test_a_damaged_or_hostile_copy_is_refused(at: At) -> None:
    store = at(A)
    store.push(written(store.root, "5 rows"))
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/bucket/runs/ledger.sqlite", b"other")
    second = at(B)
    with pytest.raises(RunError, match=r"ledger.sqlite in memory://bucket/runs is damaged"):
        second.fetch(second.root)
    memory.pipe_file(f"/bucket/runs/{COPY}", json.dumps({"files": {"../x": ""}}).encode())
    with pytest.raises(RunError, match="names a file outside its folder"):
        second.fetch(second.root)
    assert not list(second.root.parent.glob(".*"))  # what was got of it
    assert not second.root.exists()


def test_bad_addresses_and_missing_packages_are_one_sentence(
    at: At, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not is_address("runs/mine")
    assert not is_address(r"C:\runs")
    with pytest.raises(SpecError, match="no address that fsspec knows"):
        at(A, "nosuch://bucket").fetch_all()
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(SpecError, match=r"pip install 'clonecost\[cloud\]'"):
        at(A, "s3://bucket/runs").fetch_all()
