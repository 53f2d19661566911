"""Files of a run folder that are written in place: not through links, and for the owner only.

A run folder may come from a stranger. A link in it, or a pipe or device under the name of one of
our files, would let a write reach a file outside the folder; it is an error. A run folder holds
customers' data: files have mode 0600, folders 0700.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path

from clonecost.errors import Advice, RunError

PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700
_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_FLAGS |= getattr(os, "O_NONBLOCK", 0)  # a pipe without a reader would block


def must_be_file(path: Path) -> bool:
    """Whether the file exists.

    Raises:
        RunError: there is a link, a folder, a pipe or a device under its name.

    Example:
        >>> must_be_file(Path("no such file"))
        False
    """
    return _is(path, stat.S_ISREG, "a regular file")


def must_be_folder(path: Path) -> bool:
    """Whether the folder exists.

    Raises:
        RunError: there is a link or a file under its name.
    """
    return _is(path, stat.S_ISDIR, "a folder")


def make_folder(path: Path) -> None:
    """Create a folder inside a run folder, if it is not there.

    Raises:
        RunError: there is a link or a file under its name.
        OSError: it cannot be created.
    """
    if not must_be_folder(path):
        path.mkdir(PRIVATE_FOLDER, exist_ok=True)


def open_file(path: Path, flags: int) -> int:
    """A descriptor of a regular file; with `os.O_CREAT` a new file has mode 0600.

    Raises:
        RunError: there is a link, a folder, a pipe or a device under its name.
        OSError: the file cannot be opened.
    """
    must_be_file(path)
    descriptor = os.open(path, flags | _FLAGS, PRIVATE_FILE)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # exchanged since
        os.close(descriptor)
        raise _foreign(path, "a regular file")
    return descriptor


def write_all(descriptor: int, content: bytes) -> None:
    """Write all bytes at the descriptor's position; a system may take only a part at once."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _is(path: Path, kind: Callable[[int], bool], wanted: str) -> bool:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    if not kind(mode):
        raise _foreign(path, wanted)
    return True


def _foreign(path: Path, wanted: str) -> RunError:
    return RunError(
        f"{path} is not {wanted} but, for example, a link: a run writes only inside its own folder",
        Advice("move it away"),
    )
