"""An SQLite file of a run folder, opened for writing or for reading.

Reading changes nothing in the folder and needs no permission to write, so that a run can be read
from read-only media and while it goes on. The file may be a stranger's: no link is followed, only
plain queries are allowed, and a query that takes too long is interrupted.
"""

import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

from clonecost.persistence import disk
from clonecost.persistence.own_files import must_be_file, open_file

try:
    import fcntl as _fcntl
except ImportError:  # Windows
    fcntl: ModuleType | None = None
else:
    fcntl = _fcntl

BESIDE = ("-wal", "-shm", "-journal")
_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION}
_STEP = 100_000  # instructions of SQLite between two looks at the clock


class Reading(sqlite3.Connection):
    """A connection for reading; closing it deletes the private copy, if one was made."""

    copy: TemporaryDirectory[str] | None = None

    def close(self) -> None:
        super().close()
        if self.copy is not None:
            self.copy.cleanup()


def open_to_write(path: Path) -> sqlite3.Connection:
    """Open or create the file with mode 0600; every commit is synced.

    Another program that holds the file is waited for, `BUSY_SECONDS` at each step.

    Raises:
        RunError: a link or device has its name, or the name of a file that SQLite keeps beside it.
        OSError, sqlite3.Error: it cannot be opened.
    """
    _no_links(path)
    descriptor = open_file(path, os.O_RDWR | os.O_CREAT)
    try:
        if os.name != "nt" and os.fstat(descriptor).st_mode & 0o077:  # of an earlier version
            os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)
    db = sqlite3.connect(path, isolation_level=None, timeout=disk.BUSY_SECONDS)
    try:
        db.execute("PRAGMA trusted_schema = OFF")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
    except BaseException:
        db.close()
        raise
    return db


def close_whole(db: sqlite3.Connection) -> None:
    """Close after writing: all content is in the one file, and nothing is left beside it."""
    try:
        db.execute("PRAGMA busy_timeout = 0")  # a reader holds it: the log stays, as it may
        db.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error:
        pass
    finally:
        db.close()


def open_to_read(path: Path, lock: Path) -> Reading:
    """Open for plain queries.

    Args:
        lock: the file that a writer locks while it has `path` open.

    Raises:
        RunError: a link or device has its name, or the name of a file that SQLite keeps beside it.
        OSError, sqlite3.Error: it cannot be opened.
    """
    _no_links(path)
    log, shared, journal = (path.with_name(path.name + end) for end in BESIDE)
    uri = path.resolve().as_uri()
    if log.exists() or shared.exists() or journal.exists():
        with _unless_written(lock) as still:
            db = _copied(path) if still else _connect(f"{uri}?mode=ro")
    elif _keeps_a_log(path):  # SQLite would make the log, which is empty
        db = _connect(f"{uri}?mode=ro&immutable=1")
    else:
        db = _connect(f"{uri}?mode=ro")
    try:
        for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "query_only = ON"):
            db.execute(f"PRAGMA {pragma}")
        db.set_authorizer(_plain_queries)
    except BaseException:
        db.close()
        raise
    return db


def copy_database(path: Path, copy: Path) -> None:
    """Copy a database that may be written meanwhile: a state between two of its commits.

    Raises:
        OSError, sqlite3.Error: it cannot be read, or the copy not be written.
    """
    here = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    with closing(here), closing(sqlite3.connect(copy)) as there:
        here.backup(there)


@contextmanager
def time_limit(db: sqlite3.Connection, path: Path) -> Iterator[None]:
    """Interrupt queries inside the `with` that take longer than the size of the file explains."""
    size = path.stat().st_size
    end = time.monotonic() + 20 + size / 2e6
    db.set_progress_handler(lambda: time.monotonic() > end, _STEP)
    try:
        yield
    finally:
        db.set_progress_handler(None, 0)


def _connect(uri: str) -> Reading:
    db = sqlite3.connect(
        uri, uri=True, isolation_level=None, timeout=disk.BUSY_SECONDS, factory=Reading
    )
    assert isinstance(db, Reading)
    return db


def _copied(path: Path) -> Reading:
    """A connection to a private copy: of a killed process a log is left that must be applied."""
    place = TemporaryDirectory(prefix="clonecost-")
    try:
        copy = Path(place.name) / path.name
        for end in ("", "-wal", "-journal"):
            source = path.with_name(path.name + end)
            if must_be_file(source):
                with (
                    os.fdopen(open_file(source, os.O_RDONLY), "rb") as file,
                    copy.with_name(copy.name + end).open("xb") as new,
                ):
                    shutil.copyfileobj(file, new, 1 << 20)
        db = _connect(copy.as_uri())
    except BaseException:
        place.cleanup()
        raise
    db.copy = place
    return db


@contextmanager
def _unless_written(lock: Path) -> Iterator[bool]:
    """Whether no process has the file open for writing; none can begin inside the `with`."""
    if fcntl is None:
        yield False
        return
    if not must_be_file(lock):
        yield True
        return
    descriptor = open_file(lock, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _keeps_a_log(path: Path) -> bool:
    """Whether the file's header says that SQLite keeps a write-ahead log beside it."""
    with os.fdopen(open_file(path, os.O_RDONLY), "rb") as file:
        return 2 in file.read(20)[18:]


def _no_links(path: Path) -> None:
    for end in ("", *BESIDE):
        must_be_file(path.with_name(path.name + end))


def _plain_queries(action: int, first: str | None, *more: object) -> int:
    if action in _ALLOWED or (action == sqlite3.SQLITE_PRAGMA and first == "integrity_check"):
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY
