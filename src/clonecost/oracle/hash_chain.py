"""The chain of digests over the events of a record.

    link_n = SHA-256(link_(n-1) + canonical(all values of event n)),    link_0 = 32 zero bytes

A link proves every event up to its own: comparison with the last link, the head, detects any later
change, insertion, deletion or exchange. Nothing here needs torch.
"""

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

DIGEST_BYTES = 16  # of one row: the first half of its SHA-256
LONG = 2_048  # bytes of a row, from which hashlib lets other threads run
GENESIS = bytes(32)

Value = None | int | float | str | bytes  # the value types of SQLite


def canonical(values: Iterable[Value]) -> bytes:
    """Values as bytes; no two different sequences give the same bytes.

    Each value is written as its type, its length and its content: 1, "1" and b"1" differ.

    Example:
        >>> canonical([1, "1"])
        b'int 1 1str 1 1'
    """
    parts: list[bytes] = []
    for value in values:
        content = value if isinstance(value, bytes) else str(value).encode()
        parts += [f"{type(value).__name__} {len(content)} ".encode(), content]
    return b"".join(parts)


def next_link(head: bytes, values: Iterable[Value]) -> bytes:
    """The link after `head` for an event with these values: 32 bytes."""
    return hashlib.sha256(head + canonical(values)).digest()


def array_digests(rows: NDArray[Any], threads: int = 1) -> bytes:
    """The first 128 bits of SHA-256 of each row, one after the other: (n, ...) -> 16 n bytes.

    uint8 rows are digested as the float32 values k/255 that were sent. Processors of the last years
    have instructions for SHA-256, which make it faster than BLAKE2b (docs/speed.md).

    Args:
        rows: a contiguous array.
        threads: that share the work; rows of less than 2 KiB take one, because Python hashes only
            longer ones beside each other.
    """
    if rows.dtype == np.uint8:
        rows = rows.astype(np.float32) / np.float32(255)
    flat = rows.data.cast("B")
    step = len(flat) // len(rows)
    share = -(-len(rows) // max(1, threads if step >= LONG else 1))
    if share >= len(rows):
        return _digests(flat, step)
    parts = [flat[at : at + share * step] for at in range(0, len(flat), share * step)]
    with ThreadPoolExecutor(len(parts), thread_name_prefix="digests") as pool:
        return b"".join(pool.map(_digests, parts, [step] * len(parts)))


def _digests(flat: memoryview, step: int) -> bytes:
    starts = range(0, len(flat), step)
    return b"".join(hashlib.sha256(flat[at : at + step]).digest()[:DIGEST_BYTES] for at in starts)
