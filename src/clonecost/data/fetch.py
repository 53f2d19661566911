"""Download one file: resumable, verified against its published checksum, never half in place."""

import hashlib
import os
from io import BufferedRandom
from pathlib import Path
from typing import TYPE_CHECKING

from clonecost.errors import DataError
from clonecost.persistence.disk import sync_folder
from clonecost.types import Progress, no_progress

if TYPE_CHECKING:
    import httpx2

ATTEMPTS = 4
BACKOFF = 0.5  # seconds before the second attempt; doubled each time
TIMEOUT = 20.0  # seconds without a connection or a byte
_BUSY = (408, 425, 429, 500, 502, 503, 504)  # worth another attempt
_PART = os.O_RDWR | os.O_CREAT | os.O_APPEND
# a link that waits under the name of the partial file is not followed
_PART |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


def fetch(
    url: str,
    path: Path,
    *,
    md5: str,
    progress: Progress = no_progress,
    backoff: float = BACKOFF,
    timeout: float = TIMEOUT,
) -> None:
    """Download `url` to `path`; `progress` counts bytes.

    What has arrived stays in `<path>.part`, and the next call asks for the rest only. MD5 is what
    the publishers of these data sets give: it tells a broken file, not a forged one. Two processes
    that want the same file take turns, and the second finds it there.

    Raises:
        DataError: no connection, refused, or not the published file (kept as `<path>.bad`); the
            message does not end in a full stop and can be continued.
    """
    from filelock import FileLock  # only a download needs it

    part, bad, lock = (path.with_name(path.name + end) for end in (".part", ".bad", ".lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock):
            if path.exists():
                part.unlink(missing_ok=True)
                return
            with os.fdopen(os.open(part, _PART, 0o666), "a+b") as stream:
                _fill(stream, url, path.name, progress, backoff, timeout)
                stream.seek(0)
                got = hashlib.file_digest(stream, _md5).hexdigest()
                stream.flush()
                os.fsync(stream.fileno())
            part.replace(path if got == md5 else bad)
            sync_folder(path.parent)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error})") from error
    if got != md5:
        raise DataError(
            f"{url} is not the published file: its MD5 should be {md5} and is {got} (kept as {bad})"
        )


def _md5() -> "hashlib._Hash":
    return hashlib.md5(usedforsecurity=False)  # else refused where FIPS rules


def _fill(
    part: BufferedRandom, url: str, name: str, progress: Progress, backoff: float, timeout: float
) -> None:
    """Append what is missing, over as many connections as it takes."""
    import httpx2  # only a download needs these
    from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

    def passing(error: BaseException) -> bool:
        if isinstance(error, httpx2.HTTPStatusError):
            return error.response.status_code in _BUSY
        return isinstance(error, httpx2.HTTPError)

    try:
        client = httpx2.Client(timeout=timeout, follow_redirects=True)
    except (ImportError, ValueError) as error:  # a proxy in the environment that it cannot use
        raise DataError(f"{url} cannot be downloaded ({error})") from error
    with client:
        try:
            Retrying(
                stop=stop_after_attempt(ATTEMPTS),
                wait=wait_exponential(multiplier=backoff),
                retry=retry_if_exception(passing),
                reraise=True,
            )(_stream, client, part, url, name, progress)
        except httpx2.HTTPStatusError as error:
            status = error.response.status_code
            raise DataError(f"{url} answered with HTTP status {status}") from error
        except httpx2.HTTPError as error:
            why = str(error) or type(error).__name__
            raise DataError(f"{url} cannot be downloaded ({why})") from error


def _stream(
    client: "httpx2.Client", part: BufferedRandom, url: str, name: str, progress: Progress
) -> None:
    """One connection; returns when the server has nothing more to send."""
    have = part.seek(0, 2)
    # identity: a server must not wrap a .gz in another one, which would break the byte count
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with client.stream("GET", url, headers=headers) as response:
        if have and response.status_code == 416:
            return  # nothing beyond what we have: the checksum decides
        response.raise_for_status()
        if response.status_code != 206:  # the server sends all of it again
            have = 0
            part.truncate(0)
        total = have + int(response.headers.get("Content-Length", 0))
        for chunk in response.iter_raw():
            part.write(chunk)
            have += len(chunk)
            progress(f"downloading {name}", have, max(total, have))
