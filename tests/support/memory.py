"""How much memory a step takes."""

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


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


def peak_of_process(*, forget: bool = False) -> int:
    """The most memory of this process since it was last forgotten, in bytes; 0 if not on Linux.

    Example:
        >>> before = peak_of_process(forget=True)
        >>> work()
        >>> grown = peak_of_process() - before
    """
    if forget:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0
