"""A run folder may be a stranger's: nothing outside is touched, and `verify` ends in a sentence."""

import json
import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.cli_runs import run as command
from tests.support.run_folders import fresh_copy
from tests.support.toys import MakeAudit

from clonecost.audit import Audit, run_audit
from clonecost.errors import CloneCostError
from clonecost.oracle.ledger import Ledger
from clonecost.workflows.verify import verify

OPENED = {"format": "clonecost/ledger/3", "audit": "a", "num_classes": 3, "input_shape": [1, 4, 4]}
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT "


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the run that all tests copy is made when the first one wants it."""
    return tmp_path_factory.mktemp("original") / "run"


@pytest.fixture
def audit(make_audit: MakeAudit) -> Audit:
    return make_audit(snapshot_every=0.0, keep="all")


@pytest.fixture
def run(audit: Audit, original: Path) -> Path:
    if not original.exists():
        run_audit(replace(audit, out=original))
    return fresh_copy(original, audit.folder)


def everything(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_mode, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def sentence(run: Path) -> str:
    """What `verify` says within seconds; empty if it finds nothing."""
    began = time.monotonic()
    try:
        said = "; ".join(verify(run).faults)
    except CloneCostError as error:
        said = str(error)
    assert time.monotonic() - began < 10
    assert "\n" not in said
    return said


def altered(run: Path, script: str) -> None:
    with closing(sqlite3.connect(run / "ledger.sqlite")) as db:
        db.executescript(script)


def opened_as(**change: object) -> str:
    text = json.dumps({**OPENED, **change})
    return f"UPDATE chain SET content = '{text}' WHERE seq = 1"


HOSTILE = {
    "an endless view": "DROP TABLE chain; CREATE VIEW chain AS "
    + ENDLESS + "i AS seq, 'opened' AS event, NULL AS batch, '{}' AS content, x'' AS digest FROM n",
    "an endless trigger": "CREATE TRIGGER t AFTER INSERT ON chain BEGIN DELETE FROM batches; END",
    "a shape of 10^12 values": opened_as(input_shape=[10**6, 10**6]),
    "a shape of words": opened_as(input_shape=["a"]),
    "10^12 classes": opened_as(num_classes=10**12),
    "nested JSON": f"UPDATE chain SET content = '{'[' * 100_000}' WHERE seq = 1",
    "facts that are no texts": "UPDATE chain SET content = '[1]' WHERE event = 'noted'",
    "no answers": "UPDATE batches SET answers = NULL WHERE state = 'settled'",
    "answers that are words": "UPDATE batches SET answers = 'words' WHERE state = 'settled'",
    "a billion rows": "UPDATE batches SET count = 1000000000000 WHERE state = 'settled'",
    "an offset beyond all": "UPDATE batches SET form = 'float32', offset = 1e18",
    "a digest that is a number": "UPDATE chain SET digest = 5",
    "one event ten thousand times": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
    " LIMIT 10000) INSERT INTO chain SELECT NULL, 'settled', 1, NULL, zeroblob(32) FROM n",
    "a path outside": "UPDATE chain SET content = '{\"../../x\": \"sha256:00\"}' "
    "WHERE event = 'files'",
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_verify_ends_in_a_sentence(what: str, run: Path) -> None:
    altered(run, HOSTILE[what])
    before = everything(run)
    assert sentence(run)
    assert everything(run) == before
    with suppress(CloneCostError), closing(Ledger.reopen(run / "ledger.sqlite")) as ledger:
        ledger.recorded("attack", 0, 10)  # as a resumed run; some is found by `verify` only


VALUES = st.one_of(
    st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(max_size=40),
    st.binary(max_size=40), st.sampled_from(["settled", "reserved", "lost", "attack", "files"]),
)  # fmt: skip


@given(data=st.data())
@settings(max_examples=120)
def test_values_of_any_type_are_found_or_change_nothing(
    run: Path, tmp_path: Path, data: st.DataObject
) -> None:
    """Several at once: no crash, no long wait, and no changed content passes."""
    copy = fresh_copy(run, tmp_path / "copy")
    columns = {"batches": "account position count digests at state reason unsent encoding answers "
                          "form offset", "chain": "event batch content digest"}  # fmt: skip
    changed = False
    with closing(sqlite3.connect(copy / "ledger.sqlite", isolation_level=None)) as db:
        db.execute("PRAGMA ignore_check_constraints = ON")
        for _ in range(data.draw(st.integers(1, 3))):
            table = data.draw(st.sampled_from(sorted(columns)))
            column = data.draw(st.sampled_from(columns[table].split()))
            row = data.draw(st.integers(1, 4))
            value = data.draw(VALUES)
            try:
                done = db.execute(
                    f"UPDATE {table} SET {column} = ?1 WHERE rowid = ?2 AND ({column} IS NOT ?1 "
                    f"OR typeof({column}) != typeof(?1))", (value, row),
                )  # fmt: skip
            except sqlite3.IntegrityError:
                continue
            changed = changed or done.rowcount > 0
    assert bool(sentence(copy)) >= changed


@pytest.mark.parametrize("ended", [True, False])
def test_reading_changes_nothing(ended: bool, run: Path, tmp_path: Path) -> None:
    if not ended:  # as a killed process leaves it
        ledger = Ledger.reopen(run / "ledger.sqlite")
        ledger.note(more=1)
        run = fresh_copy(run, tmp_path / "killed")
        ledger.close()
        assert (run / "ledger.sqlite-wal").stat().st_size > 0
    else:
        assert {path.name for path in run.glob("ledger.*")} <= {"ledger.sqlite", "ledger.lock"}
    before = everything(run)
    verify(run)
    assert everything(run) == before


def test_files_of_a_run_are_for_the_owner_only(run: Path) -> None:
    assert stat.S_IMODE(run.stat().st_mode) == 0o700
    assert command("report", run).status == 0
    loose = [path for path in run.rglob("*") if stat.S_IMODE(path.stat().st_mode) & 0o077]
    assert loose == []


def link(name: str) -> Callable[[Path, Path], None]:
    def make(run: Path, outside: Path) -> None:
        if (run / name).is_dir():
            shutil.rmtree(run / name)
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(outside)

    return make


LINKS = ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-journal", "ledger.lock",
         "ledger.pending", "inputs.bin", "snapshots", "report.html", "report.html.part",
         "result.json", "clone.safetensors", "spec.toml", "samples.safetensors")  # fmt: skip


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize("name", LINKS)
def test_no_link_leads_outside(
    name: str, folder: bool, audit: Audit, run: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "000001.safetensors").write_bytes(b"precious")
    (outside / "000009.safetensors").write_bytes(b"precious")
    target = outside if folder else outside / "000001.safetensors"
    link(name)(run, target)
    before = everything(outside)
    for step in (lambda: run_audit(audit), lambda: verify(run)):
        with suppress(CloneCostError):
            step()
    # only the page is written, and shows samples
    command("report", run, *([] if name.startswith(("report", "samples")) else ["--format", "md"]))
    assert everything(outside) == before


def test_a_pipe_in_place_of_a_file_does_not_block(run: Path) -> None:
    for name in ("inputs.bin", "ledger.lock", "ledger.sqlite-wal"):
        (run / name).unlink(missing_ok=True)
        os.mkfifo(run / name)
        assert command("verify", run).status in (0, 2)
        (run / name).unlink()
