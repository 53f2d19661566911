"""Whatever is altered in a finished run, `verify` finds it; `docs/verify.md` says what it cannot.

Alterations are drawn by hypothesis, always the same ones: bytes of every file, and rows of every
table of the ledger, updated, deleted, exchanged or cut off at the end.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.cli_runs import run as command
from tests.support.recording_oracle import RecordingVictim
from tests.support.run_folders import fresh_copy
from tests.support.toys import CLASSES, SHAPE, MakeAudit

from clonecost.audit import run_audit
from clonecost.errors import LedgerError, SpecError, VictimError
from clonecost.oracle.ledger import Ledger
from clonecost.oracle.record import Record
from clonecost.persistence.run_folder import digest_of
from clonecost.types import ThreatModel, Victim
from clonecost.workflows.verify import verify

FILES = ("clone.safetensors", "inputs.bin", "result.json", "samples.safetensors", "spec.toml",
         "transfer.json")  # fmt: skip
LEDGERS = ("ledger.sqlite", "transfers/0123456789ab/ledger.sqlite")
TABLES = ("batches", "chain")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run whose ledger has settled and lost rows, kept inputs, facts and a transfer."""
    folder = tmp_path_factory.mktemp("verify") / "run"
    folder.mkdir()
    rng = torch.Generator().manual_seed(0)
    ledger = Ledger(folder / "ledger.sqlite", audit="one", input_shape=SHAPE, num_classes=CLASSES)
    ledger.note(threads=1, keep="all", horizon=12)
    buy(ledger, "evaluation", 0, rng)
    buy(ledger, "attack", 0, rng)
    lost = ledger.reserve(account="attack", position=4, digests=bytes(48))
    ledger.lose(lost, "time-out", unsent=1)
    buy(ledger, "attack", 4, rng)
    ledger.note(seconds=1.5)
    for name in ("clone.safetensors", "samples.safetensors", "spec.toml"):
        (folder / name).write_bytes(os.urandom(64))
    result = {"spent": 8, "lost": 2, "evaluation": 4, "spot_check": None,
              "provenance": {"ledger_head": ledger.head, "ledger_rows": 14}}  # fmt: skip
    (folder / "result.json").write_text(json.dumps(result))
    (folder / "transfer.json").write_text("{}")
    other = folder / LEDGERS[1]
    other.parent.mkdir(parents=True)
    transferred = Ledger(other, audit="two", input_shape=SHAPE, num_classes=CLASSES)
    buy(transferred, "attack", 0, rng)
    head = transferred.head
    transferred.close()
    files = {name: digest_of((folder / name).read_bytes()) for name in FILES}
    ledger.record_files({**files, LEDGERS[1]: f"chain:{head}"})
    ledger.close()
    for path in (folder / "ledger.lock", other.with_name("ledger.lock")):
        path.unlink(missing_ok=True)
    return folder


def buy(ledger: Ledger, account: Any, position: int, rng: torch.Generator) -> None:
    from clonecost.oracle.tensor_codec import pack, row_digests

    inputs = torch.rand(4, *SHAPE, generator=rng)
    batch = ledger.reserve(
        account=account, position=position, digests=row_digests(inputs), kept=pack(inputs, None)
    )
    answers = torch.rand(4, CLASSES, generator=rng).softmax(1)
    ledger.settle(batch, answers)


@pytest.fixture
def again(whole: Path, tmp_path: Path) -> Callable[[], Path]:
    """A fresh copy of the run for every example."""

    return lambda: fresh_copy(whole, tmp_path / "run")


def faults(run: Path, head: str | None = None) -> tuple[str, ...]:
    """A ledger that cannot be opened is a fault as well."""
    try:
        return verify(run, head=head).faults
    except LedgerError as error:
        return (str(error),)


def content(path: Path) -> object:
    """All that a ledger's file says; None if it cannot be read."""
    try:
        with closing(sqlite3.connect(path)) as db:
            made = db.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
            return made, [db.execute(f"SELECT rowid, * FROM {t}").fetchall() for t in TABLES]
    except sqlite3.DatabaseError:
        return None


def rows_of(path: Path, table: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()


def columns(path: Path, table: str) -> list[str]:
    with closing(sqlite3.connect(path)) as db:
        return [row[1] for row in db.execute(f"PRAGMA table_info({table})")]


# -- the run as it is ----------------------------------------------------------------------------


def test_a_whole_run_has_no_fault_and_its_head_is_known(again: Callable[[], Path]) -> None:
    run = again()
    found = verify(run)
    assert (found.faults, found.notes) == ((), ())
    assert verify(run, head=found.head).faults == ()
    assert verify(run, head=found.head.upper() + "\n").notes == ()


def test_a_real_run_and_one_with_a_larger_budget(
    victim: Victim, threat: ThreatModel, make_audit: MakeAudit, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    small = replace(threat, query_budget=700)
    first = run_audit(make_audit("dfme", threat=small))
    before = verify(run)
    assert before.faults == ()
    failing = RecordingVictim(victim, fail_at=20)
    with pytest.raises(VictimError):
        run_audit(make_audit("dfme", victim=failing))
    half = verify(run, head=before.head)  # an interrupted run is no fault
    assert half.faults == ()
    assert any("the run grew by" in note for note in half.notes)
    result = run_audit(make_audit("dfme"))
    after = verify(run, head=before.head)
    assert after.faults == ()
    rows = result.provenance.ledger_rows - first.provenance.ledger_rows
    assert f"the run grew by {rows:,} rows since the head {before.head[:12]}…" in after.notes
    assert verify(run, head=first.provenance.ledger_head).faults == ()  # an ancestor, too


# -- alterations ---------------------------------------------------------------------------------


@settings(max_examples=120)
@given(data=st.data())
def test_a_byte_of_any_file(data: st.DataObject, again: Callable[[], Path]) -> None:
    run = again()
    path = run / data.draw(st.sampled_from(FILES))
    held = bytearray(path.read_bytes())
    held[data.draw(st.integers(0, len(held) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(held)
    assert any(path.name in fault or "kept inputs" in fault for fault in faults(run))


@settings(max_examples=40)
@given(data=st.data())
def test_a_file_that_is_cut_lengthened_or_gone(
    data: st.DataObject, again: Callable[[], Path]
) -> None:
    run = again()
    path = run / data.draw(st.sampled_from((*FILES, *LEDGERS)))
    held = path.read_bytes()
    how = data.draw(st.sampled_from(["cut", "lengthened", "gone"]))
    if how == "gone":
        path.unlink()
    elif how == "cut":
        path.write_bytes(held[: data.draw(st.integers(0, len(held) - 1))])
    elif path.name == "ledger.sqlite":
        return  # bytes after its last page are none of the database's: see the next test
    else:
        path.write_bytes(held + data.draw(st.binary(min_size=1, max_size=9)))
    assert faults(run)


@settings(max_examples=150)
@given(data=st.data())
def test_a_byte_of_a_ledger_is_found_or_says_nothing(
    data: st.DataObject, again: Callable[[], Path]
) -> None:
    """Free space and SQLite's own counters hold no content: then every table reads as before."""
    run = again()
    path = run / data.draw(st.sampled_from(LEDGERS))
    before, held = content(path), bytearray(path.read_bytes())
    held[data.draw(st.integers(0, len(held) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(held)
    if not faults(run):
        assert content(path) == before


@settings(max_examples=120)
@given(data=st.data())
def test_a_value_of_any_row_of_any_table(data: st.DataObject, again: Callable[[], Path]) -> None:
    run = again()
    path, table = run / data.draw(st.sampled_from(LEDGERS)), data.draw(st.sampled_from(TABLES))
    key, before = columns(path, table)[0], content(path)
    row = data.draw(st.sampled_from(rows_of(path, table)))
    column = data.draw(st.sampled_from(columns(path, table)))
    values = st.none() | st.integers(-3, 99) | st.text(max_size=4) | st.binary(max_size=4)
    with closing(sqlite3.connect(path)) as db:
        try:
            db.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?",
                       (data.draw(values), row[0]))  # fmt: skip
        except sqlite3.IntegrityError:  # the table refuses it
            return
        db.commit()
    assert bool(faults(run)) == (content(path) != before)


@settings(max_examples=60)
@given(data=st.data())
def test_rows_that_are_deleted_cut_off_or_exchanged(
    data: st.DataObject, again: Callable[[], Path]
) -> None:
    run = again()
    path, table = run / data.draw(st.sampled_from(LEDGERS)), data.draw(st.sampled_from(TABLES))
    key = columns(path, table)[0]
    held = rows_of(path, table)
    one = data.draw(st.sampled_from(held))[0]
    how = data.draw(st.sampled_from(["deleted", "cut off", "exchanged"]))
    with closing(sqlite3.connect(path)) as db:
        if how == "deleted":
            db.execute(f"DELETE FROM {table} WHERE {key} = ?", (one,))
        elif how == "cut off":
            db.execute(f"DELETE FROM {table} WHERE {key} >= ?", (one,))
        else:
            two = data.draw(st.sampled_from([row[0] for row in held if row[0] != one] or [one]))
            if one == two:
                return
            for was, becomes in ((one, -1), (two, one), (-1, two)):
                db.execute(f"UPDATE {table} SET {key} = ? WHERE {key} = ?", (becomes, was))
        db.commit()
    assert faults(run)


@settings(max_examples=40)
@given(data=st.data())
def test_the_tail_of_chain_and_batches_together(
    data: st.DataObject, again: Callable[[], Path]
) -> None:
    """As if the last rows had never been sent; of the run's own ledger and of a transfer's."""
    run = again()
    path = run / data.draw(st.sampled_from(LEDGERS))
    first = data.draw(st.integers(2, len(rows_of(path, "chain"))))
    with closing(sqlite3.connect(path)) as db:
        db.execute("DELETE FROM batches WHERE id IN (SELECT batch FROM chain WHERE seq >= ? AND "
                   "event = 'reserved')", (first,))  # fmt: skip
        db.execute("DELETE FROM chain WHERE seq >= ?", (first,))
        db.commit()
    assert faults(run)


def test_what_is_added_is_named(again: Callable[[], Path]) -> None:
    run = again()
    (run / "search.safetensors").write_bytes(b"x")  # a report would show it
    assert faults(run) == ("search.safetensors was added: the ledger does not record it",)
    run = again()
    (run / "report.html").write_text("made from the files")
    (run / "replays").mkdir()
    found = verify(run)
    assert found.faults == ()
    assert found.notes == ("not covered by the ledger: replays/, report.html",)


def test_an_edited_result_with_its_digest_updated_is_found(again: Callable[[], Path]) -> None:
    run = again()
    text = (run / "result.json").read_text().replace('"spent": 8', '"spent": 9')
    (run / "result.json").write_text(text)
    with closing(Record.read(run / "ledger.sqlite")) as record:
        files = {**(record.files or {}), "result.json": digest_of(text)}
    with closing(sqlite3.connect(run / "ledger.sqlite")) as db:
        db.execute("UPDATE chain SET content = ? WHERE event = 'files'",
                   (json.dumps(files, sort_keys=True),))  # fmt: skip
        db.commit()
    assert any("(files) was altered" in fault for fault in faults(run))


def test_a_rewritten_chain_is_found_against_a_head_from_elsewhere_only(
    again: Callable[[], Path],
) -> None:
    """What docs/verify.md says: whoever rewrites all of it is found by the head alone."""
    run = again()
    head = verify(run).head
    text = (run / "spec.toml").read_bytes() + b"# changed"
    (run / "spec.toml").write_bytes(text)
    with closing(sqlite3.connect(run / "ledger.sqlite")) as db:
        db.execute("DELETE FROM chain WHERE event = 'files'")
        db.commit()
    with closing(Ledger.reopen(run / "ledger.sqlite")) as ledger:
        ledger.record_files({**(ledger.files or recorded(run)), "spec.toml": digest_of(text)})
    assert faults(run) == ()
    assert "is not in the chain" in faults(run, head)[0]


def recorded(run: Path) -> dict[str, str]:
    files = {name: digest_of((run / name).read_bytes()) for name in FILES}
    with closing(Record.read(run / LEDGERS[1])) as other:
        return {**files, LEDGERS[1]: f"chain:{other.head}"}


# -- the command ---------------------------------------------------------------------------------


@pytest.mark.parametrize("head", ["", "12", "g" * 64, "0" * 64])
def test_what_is_no_head_is_refused(head: str, again: Callable[[], Path]) -> None:
    with pytest.raises(SpecError, match="want 64 hexadecimal digits"):
        verify(again(), head=head)


def test_the_command_prints_the_head_and_checks_one(again: Callable[[], Path]) -> None:
    run = again()
    said = command("verify", run)
    assert said.status == 0
    head = said.out.splitlines()[-1].removeprefix("head ")
    assert head == verify(run).head
    assert "only --head, with a head that was kept elsewhere" in said.err
    assert command("verify", run, "--head", head).status == 0
    other = command("verify", run, "--head", "1f" * 32)
    assert (other.status, other.out) == (2, "")
    assert "is not in the chain" in other.err


def test_a_head_is_of_one_run(again: Callable[[], Path], tmp_path: Path) -> None:
    shutil.copytree(again(), tmp_path / "run-two")
    said = command("verify", tmp_path, "--head", "1f" * 32)
    assert said.status == 2
    assert "holds several runs" in said.err


def test_verifying_loads_neither_torch_nor_what_draws(again: Callable[[], Path]) -> None:
    """Nor scikit-learn: a run is verified in a blink on any machine."""
    code = (
        "import sys; from clonecost.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'matplotlib', 'sklearn', 'scipy', 'pandas'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "verify", str(again())], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
