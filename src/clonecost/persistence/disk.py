"""The disk: the cache folder, digests of files, and disk faults as errors with a remedy."""

import errno
import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clonecost.errors import Advice, LedgerError, RunWorkflow, SetKey

# a full or failing disk, an exhausted quota, a limit of the file size: all have the same remedy
FULL = {errno.ENOSPC, errno.EFBIG, errno.EIO, getattr(errno, "EDQUOT", errno.ENOSPC)}
BUSY_SECONDS = 30  # for which a ledger that another program holds is waited for


@contextmanager
def disk_faults(path: Path) -> Iterator[None]:
    """Turn faults of SQLite and of the disk inside the `with` into errors that name `path`.

    SQLite's result codes decide, never the words of its messages.

    Raises:
        LedgerError: the disk is full, or the file is damaged, held by another program, or cannot be
            written.
    """
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)  # none: not from SQLite
        raise _BY_CODE.get(code & 0xFF, _damaged)(path, error) from error
    except UnicodeDecodeError as error:  # SQLite returned a text that is not UTF-8
        raise _damaged(path, error) from error
    except OSError as error:
        if error.errno in FULL:
            raise _full(path, error) from error
        raise _unusable(path, error) from error


def cache_root() -> Path:
    """The folder of files that can be made or downloaded again.

    It is the environment variable CLONECOST_CACHE, or else the user's cache folder.
    """
    import platformdirs  # most imports of this module never need it

    return Path(os.environ.get("CLONECOST_CACHE") or platformdirs.user_cache_dir("clonecost"))


def file_digest(path: Path) -> str:
    """SHA-256 of a file, 64 hex digits.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Make the names of new files durable: until then a power cut may undo a rename."""
    if os.name == "nt":  # Windows can neither open folders nor needs to
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _full(path: Path, error: Exception) -> LedgerError:
    return LedgerError(
        f"{path} cannot grow: the disk is full or fails. All answers are kept, and the run can "
        "continue once the disk has room.",
        RunWorkflow("resume", path.parent),
    )


def _unusable(path: Path, error: Exception) -> LedgerError:
    return LedgerError(
        f"{path} cannot be read or written: {error}.", Advice("check its permissions")
    )


def _damaged(path: Path, error: Exception) -> LedgerError:
    return LedgerError(
        f"{path} is damaged ({error}).",
        Advice("restore it from a copy"),
        SetKey("out"),
        RunWorkflow("salvage", path.parent),
    )


def _in_use(path: Path, error: Exception) -> LedgerError:
    return LedgerError(
        f"{path} is in use by another program, and still was after {BUSY_SECONDS} seconds. All "
        "answers are kept.",
        Advice("close that program, such as a database viewer or a backup"),
        RunWorkflow("resume", path.parent),
    )


def _too_large(path: Path, error: Exception) -> LedgerError:
    return LedgerError(
        f"{path} asks for more memory or time than any record needs ({error}).",
        Advice("restore it from a copy"),
    )


_BY_CODE = {  # every other result of SQLite is damage
    sqlite3.SQLITE_FULL: _full,
    sqlite3.SQLITE_IOERR: _full,
    sqlite3.SQLITE_BUSY: _in_use,
    sqlite3.SQLITE_LOCKED: _in_use,
    sqlite3.SQLITE_PROTOCOL: _in_use,
    sqlite3.SQLITE_PERM: _unusable,
    sqlite3.SQLITE_READONLY: _unusable,
    sqlite3.SQLITE_CANTOPEN: _unusable,
    sqlite3.SQLITE_NOMEM: _too_large,
    sqlite3.SQLITE_TOOBIG: _too_large,
    sqlite3.SQLITE_INTERRUPT: _too_large,
}
