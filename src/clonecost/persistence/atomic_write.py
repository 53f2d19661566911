"""Replace a file as a whole: whoever reads it finds the old one or the new one, never half.

The new content goes into a file of its own beside the target, is synced, takes the target's name,
and the folder is synced, so that a power cut leaves one of the two as well.

The temporary file has a name that nobody can foresee and is created anew: a file or a link that
waits under its name is an error, never written through. A target that is a link is replaced, not
followed. A process that is killed may leave a temporary file behind (`*.part`); `remove_partial`
clears them away where nobody else writes.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from clonecost.persistence.disk import sync_folder

PARTIAL = ".part"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
# not on every system; O_EXCL alone refuses a link, too
_NEW |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """An empty file to be filled inside the `with`; on leaving, its content is that of `path`.

    If the body raises, `path` stays as it was and nothing is left behind.

    Raises:
        OSError: the folder is missing or cannot be written, or the disk is full.

    Example:
        >>> with atomic_file(Path("weights.safetensors")) as fresh:  # doctest: +SKIP
        ...     save_file(tensors, fresh)
    """
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}{PARTIAL}")
    os.close(os.open(fresh, _NEW, 0o666))
    try:
        yield fresh
        _sync(fresh)
        fresh.replace(path)
    except BaseException:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def atomic_write(path: Path, content: bytes) -> None:
    """Replace the content of `path`.

    Raises:
        OSError: as `atomic_file`.
    """
    with atomic_file(path) as fresh:
        fresh.write_bytes(content)


def remove_partial(folder: Path) -> None:
    """Delete what killed processes left unfinished; only where no other process writes."""
    for path in folder.glob(f"*{PARTIAL}"):
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:  # Windows syncs only what may be written
        os.fsync(file.fileno())
