"""What all processes of one user know of one endpoint: a small file under a lock.

The rate of an endpoint and the rows of a permission hold for all audits together, so they are kept
beside the user's other files of clonecost (`CLONECOST_CACHE`), or in the folder that
`CLONECOST_ENDPOINTS` names, on a disk that several machines share; one file for each origin.
"""

import hashlib
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from filelock import FileLock, Timeout

from clonecost.errors import Advice, VictimError
from clonecost.persistence.disk import cache_root

LONGEST_WAIT = 60.0  # seconds; the lock is held for milliseconds
FOLDER = "CLONECOST_ENDPOINTS"  # the environment variable
MARK = "mark"  # the file by which a folder is known again
BOOT = Path("/proc/sys/kernel/random/boot_id")


def folder_of_states() -> Path:
    """Where this process counts the rows of endpoints."""
    named = os.environ.get(FOLDER)
    return Path(named) if named else cache_root() / "endpoints"


@cache
def this_machine() -> str:
    """Names the clock `time.monotonic`: its value means nothing on another machine."""
    return BOOT.read_text().strip() if BOOT.is_file() else platform.node()


@dataclass(frozen=True)
class Purse:
    """The folder of the counts, as it is handed to a worker on this or another machine.

    Attributes:
        mark: what the file `MARK` in it holds.
    """

    folder: Path
    mark: str

    @classmethod
    def here(cls) -> "Purse":
        """That of this process.

        Raises:
            VictimError: the folder cannot be written.
        """
        folder = folder_of_states().absolute()
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with FileLock(folder / "mark.lock", mode=0o600, timeout=LONGEST_WAIT):
                path = folder / MARK
                if not path.is_file():
                    path.write_text(uuid4().hex)
                return cls(folder, path.read_text())
        except (OSError, Timeout) as error:
            raise _unusable("endpoints", folder, error) from error

    def use(self) -> None:
        """Count in this folder from now on.

        Raises:
            VictimError: this machine has another folder there, or none.
        """
        try:
            same = (self.folder / MARK).read_text() == self.mark
        except OSError:
            same = False
        if not same:
            raise VictimError(
                f"The rows sent to an endpoint are counted in {self.folder}, which machine "
                f"{platform.node()} does not have; nothing was sent from it",
                Advice(f"name a folder on a disk that all machines share in {FOLDER}"),
            )  # fmt: skip
        os.environ[FOLDER] = str(self.folder)


class SharedState:
    """The state of one origin (scheme, host and port); JSON under an exclusive lock.

    Raises:
        VictimError: the folder cannot be written.
    """

    def __init__(self, url: str, folder: Path | None = None) -> None:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme.lower(), 0)
        self.origin = f"{parts.scheme.lower()}://{(parts.hostname or '').lower()}:{port}"
        folder = folder or folder_of_states()
        name = hashlib.sha256(self.origin.encode()).hexdigest()[:32]
        self._path = folder / f"{name}.json"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise _unusable(self.origin, folder, error) from error
        self._lock = FileLock(folder / f"{name}.lock", mode=0o600, timeout=LONGEST_WAIT)

    @contextmanager
    def locked(self) -> Iterator[dict[str, Any]]:
        """The state; what the `with` changes in it is written at its end.

        Raises:
            VictimError: the file cannot be read or written, or another process holds it.
        """
        try:
            with self._lock:
                state = self._read()
                before = json.dumps(state)
                yield state
                if (after := json.dumps(state)) != before:
                    self._write(after)
        except Timeout as error:
            raise VictimError(
                f"Another process has held the count of the rows sent to {self.origin} for "
                f"{LONGEST_WAIT:g} s ({self._path})", Advice("stop that process"),
            ) from error  # fmt: skip
        except OSError as error:
            raise _unusable(self.origin, self._path.parent, error) from error

    def time(self) -> float:
        """Seconds by the clock of the disk: the same for all machines that share it.

        Within `locked`, which holds the file that is touched for this.
        """
        path = Path(self._lock.lock_file)
        os.utime(path)
        return path.stat().st_mtime

    def _read(self) -> dict[str, Any]:
        try:
            state = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError:
            state = None
        if not isinstance(state, dict):
            raise VictimError(
                f"{self._path}, the count of the rows sent to {self.origin}, is damaged",
                Advice("delete it; the count then starts again from 0"),
            )
        return state

    def _write(self, text: str) -> None:
        part = self._path.with_suffix(".part")
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        part.replace(self._path)


def _unusable(origin: str, folder: Path, error: Exception) -> VictimError:
    why = getattr(error, "strerror", None) or error
    return VictimError(
        f"The count of the rows sent to {origin} cannot be kept in {folder} ({why}), and without "
        "it the rate would not hold",
        Advice("name a folder that can be written in the environment variable CLONECOST_CACHE"),
    )
