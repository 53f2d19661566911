"""Digests of rows: how many a second one core makes, and how many all cores.

Each row that is sent is digested before it is charged, so this is the speed above which a GPU would
wait for the processor. Beside it stand BLAKE2b-128 of the same rows, one SHA-256 of all of
them, which is what the processor can do at all, and what is left when another thread of Python is
busy, as one that launches kernels is: a hashing thread gets the interpreter's lock once in 5 ms.
"""

import hashlib
import statistics
from collections.abc import Callable
from functools import partial
from threading import Event, Thread

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import Outcome, Row, seconds
from clonecost.oracle.hash_chain import DIGEST_BYTES, array_digests
from clonecost.persistence.cores import allowed_cores

ROWS = 1_792  # of a DFME iteration
GOAL = 150_000  # rows of 3x32x32 a second and core
SHAPES = ((3, 32, 32), (1, 28, 28))


def run(*, quick: bool, toy: bool = False) -> Outcome:
    """`toy` is for a test: the numbers mean nothing."""
    outcome = Outcome("digests", f"Digests of {ROWS:,} float32 rows, rows a second")
    turns = 1 if toy else 10 if quick else 50
    every = max(1, int(allowed_cores()))
    for shape in SHAPES[:1] if toy else SHAPES:
        rows = np.random.default_rng(0).random((ROWS, *shape), dtype=np.float32)
        numbers = {
            "one thread": _speed(partial(array_digests, rows), turns),
            "all cores": _speed(partial(array_digests, rows, every), turns),
            "beside a busy thread": _beside(partial(array_digests, rows), turns),
            "one digest of all": _speed(partial(hashlib.sha256, rows.data.cast("B")), turns),
            "BLAKE2b": _speed(partial(_blake2b, rows), turns),
        }
        case, goal = "x".join(map(str, shape)), shape == SHAPES[0]
        met = numbers["one thread"] >= GOAL if goal else None
        outcome.rows.append(Row(case, numbers, f">= {GOAL:,}" if goal else "", met))
    return outcome


def _blake2b(rows: NDArray[np.float32]) -> None:
    for row in rows:
        hashlib.blake2b(row.data, digest_size=DIGEST_BYTES).digest()


def _beside(work: Callable[[], object], turns: int) -> float:
    """Rows a second, at the median, while another thread computes without a pause.

    The quickest turn would be one in which that thread had no core.
    """
    over = Event()

    def busy() -> None:
        number = 0
        while not over.is_set():
            number += 1

    other = Thread(target=busy)
    other.start()
    try:
        return ROWS / statistics.median(seconds(work) for _ in range(min(turns, 5)))
    finally:
        over.set()
        other.join()


def _speed(work: Callable[[], object], turns: int) -> float:
    """Rows a second of the quickest turn: another program only makes turns slower."""
    return ROWS / min(seconds(work) for _ in range(turns))
