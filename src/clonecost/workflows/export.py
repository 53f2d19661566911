"""A copy of a run folder that is whole, also while the run goes on.

The ledger is copied first, as SQLite copies a database that is being written, and the kept inputs
after it: inputs are written before the ledger refers to them, so the copy has all that it needs.
The copy of an unfinished run holds no result and no checkpoint. The copy is verified before it gets
its name.
"""

import os
import secrets
import shutil
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from clonecost.errors import Advice, RunError, RunWorkflow
from clonecost.oracle.pending import PENDING
from clonecost.oracle.record import Record
from clonecost.persistence import run_folder
from clonecost.persistence.atomic_write import PARTIAL
from clonecost.persistence.disk import disk_faults, sync_folder
from clonecost.persistence.own_files import must_be_file, open_file
from clonecost.workflows.verify import verify

ATTEMPTS = 20  # a run that ends or resumes meanwhile makes one of them useless
_UNFINISHED = (run_folder.SPEC, run_folder.INPUTS, PENDING)


@dataclass(frozen=True)
class Exported:
    """The result of `export`.

    Attributes:
        files: the files of the copy, as paths relative to it.
        rows: rows in its ledger, answered, lost or in flight.
        finished: whether the run had finished.
        head: the head of its ledger's chain, 64 hex digits.
    """

    files: tuple[str, ...]
    rows: int
    finished: bool
    head: str


def export(run: Path, out: Path) -> Exported:
    """Copy what a run's ledger records; the run may go on meanwhile.

    Args:
        run: a run folder.
        out: the new folder of the copy.

    Raises:
        RunError: `out` exists or cannot be written, or the run itself does not pass `verify`.
        LedgerError: the ledger is missing, damaged, or in use by another program.

    Example:
        >>> export(Path("runs/mine"), Path("backup/mine")).finished  # doctest: +SKIP
        False
    """
    if out.exists() or out.is_symlink():
        raise RunError(
            f"{out} exists, and a copy never replaces anything",
            Advice("name a folder that does not exist yet"),
        )
    fresh = out.with_name(f"{out.name}.{secrets.token_hex(4)}{PARTIAL}")
    before = fault = ""
    for attempt in range(ATTEMPTS):
        run_folder.make(fresh)
        try:
            try:
                exported = _copy(run, fresh)
                fault = next(iter(verify(fresh).faults), "")
            except FileNotFoundError as error:  # the run resumed, and removed its earlier result
                fault = f"{error.filename} is missing"
            if not fault:
                with disk_faults(out):
                    fresh.rename(out)
                    sync_folder(out.parent)
                return exported
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        if fault == before:  # it is no matter of the moment
            break
        before = fault
        time.sleep(0.02 * attempt)
    raise RunError(f"{run} cannot be copied whole: {fault}.", RunWorkflow("verify", run))


def _copy(run: Path, fresh: Path) -> Exported:
    _copy_ledger(run / run_folder.LEDGER, fresh / run_folder.LEDGER)
    with closing(Record.read(fresh / run_folder.LEDGER)) as record:
        recorded = dict(record.files or {}) if record.finished else {}
        rows = record.rows_since("00" * 32)
        for name in recorded:  # a stranger's ledger records what it likes
            if not run_folder.is_inside(run, name):
                raise RunError(
                    f"{run} records the file {name!r}, which lies outside of it or is a link",
                    RunWorkflow("verify", run),
                )
        names = [name for name, digest in recorded.items() if not digest.startswith("chain:")]
        for name in names or _UNFINISHED:
            if name in names or must_be_file(run / name):
                _copy_file(run / name, fresh / name)
        for name in recorded.keys() - set(names):  # the ledger of a transfer
            run_folder.make(fresh, *name.split("/")[:-1])
            _copy_ledger(run / name, fresh / name)
        files = sorted(
            path.relative_to(fresh).as_posix() for path in fresh.rglob("*") if path.is_file()
        )
        return Exported(tuple(files), rows or 0, record.finished, record.head)


def _copy_ledger(source: Path, target: Path) -> None:
    with closing(Record.read(source)) as record, disk_faults(target):
        os.close(open_file(target, os.O_RDWR | os.O_CREAT | os.O_EXCL))
        with closing(sqlite3.connect(target, isolation_level=None)) as copy:
            record.copy_to(copy)
            copy.execute("PRAGMA journal_mode = DELETE")


def _copy_file(source: Path, target: Path) -> None:
    with os.fdopen(open_file(source, os.O_RDONLY), "rb") as file, disk_faults(target):
        descriptor = open_file(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        with os.fdopen(descriptor, "wb") as new:
            shutil.copyfileobj(file, new, 1 << 20)
            new.flush()
            os.fsync(new.fileno())
