"""What all processes of one user know of one endpoint: a small file under a lock.

The rate of an endpoint and the rows of a permission hold for all audits together, so they are kept
beside the user's other files of clonecost (`CLONECOST_CACHE`), one file for each origin.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from clonecost.errors import Advice, VictimError
from clonecost.persistence.disk import cache_root

LONGEST_WAIT = 60.0  # seconds; the lock is held for milliseconds


class SharedState:
    """The state of one origin (scheme, host and port); JSON under an exclusive lock.

    Raises:
        VictimError: the folder cannot be written.
    """

    def __init__(self, url: str, folder: Path | None = None) -> None:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme.lower(), 0)
        self.origin = f"{parts.scheme.lower()}://{(parts.hostname or '').lower()}:{port}"
        folder = folder or cache_root() / "endpoints"
        name = hashlib.sha256(self.origin.encode()).hexdigest()[:32]
        self._path = folder / f"{name}.json"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise self._unusable(error) from error
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
            raise self._unusable(error) from error

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

    def _unusable(self, error: OSError) -> VictimError:
        return VictimError(
            f"The count of the rows sent to {self.origin} cannot be kept in {self._path.parent} "
            f"({error.strerror or error}), and without it the rate would not hold",
            Advice("name a folder that can be written in the environment variable "
                   "CLONECOST_CACHE"),
        )  # fmt: skip
