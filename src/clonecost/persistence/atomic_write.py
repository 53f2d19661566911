"""Atomic replacement of a file: a reader finds the old content or the new content, never half.

The new content is written to a temporary file beside the target and synced. The temporary file is
then renamed to the target and the folder synced, so that a power cut leaves one of the two as well.

The temporary file has a random name and must be new: an existing file or link under that name is an
error. A target that is a link is replaced, not followed. A killed process may leave a temporary
file (`*.part`); `remove_partial` deletes such files where no other process writes.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from clonecost.persistence.disk import sync_folder
from clonecost.persistence.own_files import PRIVATE_FILE

PARTIAL = ".part"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
# not on every system; O_EXCL alone refuses a link, too
_NEW |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


@contextmanager
def atomic_file(path: Path, *, private: bool = False) -> Iterator[Path]:
    """A new empty file, to be filled inside the `with`; on exit it replaces `path`.

    Args:
        private: only the owner may read it (mode 0600), as every file of a run folder.

    If the body raises, `path` is unchanged and the new file is deleted.

    Raises:
        OSError: the folder is missing or cannot be written, or the disk is full.

    Example:
        >>> with atomic_file(Path("weights.safetensors")) as fresh:  # doctest: +SKIP
        ...     save_file(tensors, fresh)
    """
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}{PARTIAL}")
    os.close(os.open(fresh, _NEW, PRIVATE_FILE if private else 0o666))
    try:
        yield fresh
        _sync(fresh)
        fresh.replace(path)
    except BaseException:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def atomic_write(path: Path, content: bytes, *, private: bool = False) -> None:
    """Replace the content of `path`; with `private` only the owner may read it.

    Raises:
        OSError: the folder is missing or cannot be written, or the disk is full.

    Example:
        >>> atomic_write(Path("card.json"), b"{}")  # doctest: +SKIP
    """
    with atomic_file(path, private=private) as fresh:
        fresh.write_bytes(content)


def remove_partial(folder: Path) -> None:
    """Delete the temporary files of killed processes; only where no other process writes."""
    for path in folder.glob(f"*{PARTIAL}"):
        if path.is_symlink() or not path.is_dir():
            path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:  # Windows syncs only files open for writing
        os.fsync(file.fileno())
