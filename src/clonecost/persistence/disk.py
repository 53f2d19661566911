"""The disk: where files are kept, their digests, and its faults as one sentence."""

import errno
import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clonecost.errors import LedgerError

# The disk is full, a quota is, or a file may not grow: the same remedy for all.
FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


@contextmanager
def disk_faults(path: Path) -> Iterator[None]:
    """Turn what goes wrong inside into one sentence about `path`.

    Raises:
        LedgerError: the disk is full, the file damaged, or not to be written.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        if "full" in str(error) or "disk I/O error" in str(error):
            raise LedgerError(_full(path)) from error
        if "readonly" in str(error) or "unable to open" in str(error):
            raise LedgerError(
                f"{path} cannot be written: {error}; check its permissions"
            ) from error
        raise LedgerError(
            f"{path} is damaged ({error}); restore it from a copy or start in another folder"
        ) from error
    except UnicodeDecodeError as error:  # SQLite hands a text over that is none any more
        raise LedgerError(
            f"{path} is damaged ({error}); restore it from a copy or start in another folder"
        ) from error
    except OSError as error:
        if error.errno in FULL:
            raise LedgerError(_full(path)) from error
        raise LedgerError(f"{path} cannot be used: {error}") from error


def cache_root() -> Path:
    """Where all that can be made or fetched again is kept: CLONECOST_CACHE, or the user's cache."""
    import platformdirs  # most loads end before this is needed

    return Path(os.environ.get("CLONECOST_CACHE") or platformdirs.user_cache_dir("clonecost"))


def file_digest(path: Path) -> str:
    """sha256 of a file, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Make names durable: a new file outlives a power cut only when its folder is synced, too."""
    if os.name == "nt":  # folders cannot be opened there, and need not be
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _full(path: Path) -> str:
    return (
        f"{path} cannot grow: the disk is full, or it fails; nothing that was answered is lost: "
        f"make room, then `clonecost resume {path.parent}`"
    )
