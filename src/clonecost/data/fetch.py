"""Download one file: resumable, verified against its published checksum, replaced atomically."""

import hashlib
import os
from io import BufferedRandom
from pathlib import Path
from typing import TYPE_CHECKING

from clonecost.errors import Advice, DataError
from clonecost.persistence.disk import sync_folder
from clonecost.types import Progress, no_progress

if TYPE_CHECKING:
    import httpx2

ATTEMPTS = 4
BACKOFF = 0.5  # seconds before the second attempt; doubled each time
TIMEOUT = 20.0  # seconds without a connection or a byte
_BUSY = (408, 425, 429, 500, 502, 503, 504)  # worth another attempt
_PART = os.O_RDWR | os.O_CREAT | os.O_APPEND
# a link under the name of the partial file is not followed
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

    Bytes that were received stay in `<path>.part`, and the next call requests the rest only. The
    publishers of these data sets give MD5 digests, which detect a damaged file but not a forged
    one. If two processes download the same file, the second waits for the first and uses its file.

    Args:
        md5: the published digest, 32 hex digits.
        backoff: seconds before the second attempt, doubled for each further one.
        timeout: seconds without a connection or a byte.

    Raises:
        DataError: no connection, refused, or not the published file (kept as `<path>.bad`). The
            fact does not end in a full stop, so that a caller can continue the sentence.

    Example:
        >>> fetch(file.url, Path(file.file), md5=file.md5)  # doctest: +SKIP
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
        raise DataError(
            f"{path} cannot be written ({error})", Advice("check the folder's permissions")
        ) from error
    if got != md5:
        raise DataError(
            f"{url} is not the published file (kept as {bad}): its MD5 is {got}, want {md5}",
            Advice("check the connection, and download it again"),
        )


def _md5() -> "hashlib._Hash":
    return hashlib.md5(usedforsecurity=False)  # without the argument, FIPS mode refuses MD5


def _fill(
    part: BufferedRandom, url: str, name: str, progress: Progress, backoff: float, timeout: float
) -> None:
    """Append the missing bytes, with at most `ATTEMPTS` connections."""
    import httpx2  # only a download needs these
    from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

    def transient(error: BaseException) -> bool:
        if isinstance(error, httpx2.HTTPStatusError):
            return error.response.status_code in _BUSY
        return isinstance(error, httpx2.HTTPError)

    try:
        client = httpx2.Client(timeout=timeout, follow_redirects=True)
    except (ImportError, ValueError) as error:  # an unusable proxy in the environment
        raise DataError(
            f"{url} cannot be downloaded ({error})",
            Advice("check the proxy settings of the environment"),
        ) from error
    with client:
        try:
            Retrying(
                stop=stop_after_attempt(ATTEMPTS),
                wait=wait_exponential(multiplier=backoff),
                retry=retry_if_exception(transient),
                reraise=True,
            )(_stream, client, part, url, name, progress)
        except httpx2.HTTPStatusError as error:
            status = error.response.status_code
            raise DataError(
                f"{url} answered with HTTP status {status}", Advice("try again later")
            ) from error
        except httpx2.HTTPError as error:
            why = str(error) or type(error).__name__
            raise DataError(
                f"{url} cannot be downloaded ({why})", Advice("check the connection")
            ) from error


def _stream(
    client: "httpx2.Client", part: BufferedRandom, url: str, name: str, progress: Progress
) -> None:
    """Append the bytes of one connection, until the server has sent all of them."""
    have = part.seek(0, 2)
    # identity: a server must not compress a .gz again, which would change the byte count
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with client.stream("GET", url, headers=headers) as response:
        if have and response.status_code == 416:
            return  # the file has no further bytes; the checksum decides
        response.raise_for_status()
        if response.status_code != 206:  # the server sends the whole file again
            have = 0
            part.truncate(0)
        total = have + int(response.headers.get("Content-Length", 0))
        for chunk in response.iter_raw():
            part.write(chunk)
            have += len(chunk)
            progress(f"downloading {name}", have, max(total, have))
