"""How much memory a step takes."""

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def at_most(limit: int) -> Iterator[None]:
    """Assert that the body takes no more than `limit` bytes of Python's and NumPy's memory."""
    tracemalloc.start()
    tracemalloc.reset_peak()  # another test may have left it on
    before, _ = tracemalloc.get_traced_memory()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < limit, f"{peak - before:,} bytes"
