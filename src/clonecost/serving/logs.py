"""The server's log on standard error: no client fills it, and no text in it is obeyed."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from clonecost.safe_text import visible

SOURCES = ("uvicorn", "asyncio", "clonecost.serving")
LINES = 10  # of one kind in one span; a traceback counts as one
SPAN = 60.0  # seconds
LONGEST = 8_000  # characters of one entry


class Sparing(logging.Filter):
    """Passes `LINES` entries of a kind in `SPAN` seconds, and then says how many it left out."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._seen: dict[tuple[str, object], tuple[float, int]] = {}  # kind -> since, entries

    def filter(self, record: logging.LogRecord) -> bool:
        kind, now = (record.name, record.msg), self._clock()
        since, entries = self._seen.get(kind, (now, 0))
        if now - since >= SPAN:
            left_out = entries - LINES
            since, entries = now, 0
            if left_out > 0:
                record.msg = f"({left_out:,} more like this were left out) {record.msg}"
        if len(self._seen) > 1000:  # kinds that a client makes up
            self._seen.clear()
        self._seen[kind] = since, entries + 1
        return entries < LINES


class Shown(logging.Formatter):
    """An entry whose control characters are shown; the lines of a traceback stay lines."""

    def format(self, record: logging.LogRecord) -> str:
        entry = super().format(record)
        if len(entry) > LONGEST:
            entry = f"{entry[: LONGEST // 2]}\n...\n{entry[-LONGEST // 2 :]}"
        return visible(entry)


@contextmanager
def to_standard_error() -> Iterator[None]:
    """Log warnings and errors of the server to standard error within the block."""
    handler = logging.StreamHandler()
    handler.setFormatter(Shown("%(levelname)s %(message)s"))
    handler.addFilter(Sparing())
    loggers = [logging.getLogger(name) for name in SOURCES]
    before = [(logger.propagate, logger.level) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, (propagate, level) in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.propagate = propagate
            logger.setLevel(level)
