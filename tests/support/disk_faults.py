"""Disks that fail: a size that no file may pass, and system calls that fail from the n-th on."""

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

CALLS = ("write", "fsync", "ftruncate")


@contextmanager
def no_file_grows_beyond(size: int) -> Iterator[None]:
    """Limit the size of files, as a full disk does; Python ignores the signal of the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def failing_calls(first: int, code: int = errno.ENOSPC, *, times: int = 1) -> Iterator[list[str]]:
    """The `first`-th call of `CALLS` and the next ones fail, `times` in all; yields what failed."""
    failed: list[str] = []
    seen = 0
    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:

            def call(*given: Any, _name: str = name, _true: Any = getattr(os, name)) -> Any:
                nonlocal seen
                seen += 1
                if first <= seen < first + times:
                    failed.append(_name)
                    if _name == "write":  # a part gets through, as on a real disk
                        _true(given[0], bytes(given[1])[: len(given[1]) // 2])
                    raise OSError(code, os.strerror(code))
                return _true(*given)

            patch.setattr(os, name, call)
        yield failed
