"""`events.jsonl`: what happens in a run, one line of JSON an event, for `watch` and any dashboard.

Every line has `time` (UTC, ISO 8601), `event`, and the fields of its kind:

    begin   attack, victim, budget, price (USD per 1,000 rows, or null), seed, process, host
    spent   rows, budget
    step    what, done, total
    scored  queries, agreement, low, high, corrected_agreement, accuracy (or null)
    notice  text
    end     rows
    stop    rows, why

A resumed run goes on in the same file with another `begin`. The file has no digest and nothing is
decided by it: a run goes on where it cannot be written, and a reader leaves out what is no event.
"""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from clonecost.errors import RunError
from clonecost.persistence.own_files import open_file, write_all
from clonecost.persistence.run_folder import EVENTS

Kind = Literal["begin", "spent", "step", "scored", "notice", "end", "stop"]
Event = dict[str, Any]

TAIL = 1 << 22  # bytes: of a longer file the end is read, and its first lines
HEAD = 1 << 16


def append(run: Path, kind: Kind, **fields: object) -> None:
    """Add an event to a run's file; without an effect where that cannot be done.

    Example:
        >>> append(Path("runs/mine"), "spent", rows=200, budget=1_000)  # doctest: +SKIP
    """
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = json.dumps({"time": now, "event": kind, **fields}, ensure_ascii=False) + "\n"
    with suppress(OSError, RunError):
        file = open_file(run / EVENTS, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            write_all(file, line.encode(errors="replace"))
        finally:
            os.close(file)


def read(run: Path) -> Iterator[Event]:
    """The events of a run, the oldest first; nothing if it has none.

    Raises:
        RunError: a link, a pipe or a device stands under the file's name.
    """
    try:
        file = open_file(run / EVENTS, os.O_RDONLY)
    except OSError:
        return
    with os.fdopen(file, "rb") as lines:
        size = os.fstat(file).st_size
        held = lines.read(HEAD if size > HEAD + TAIL else size)
        if size > len(held):
            lines.seek(size - TAIL)
            held = held[: held.rfind(b"\n") + 1] + lines.read(TAIL).partition(b"\n")[2]
    for line in held.splitlines():
        with suppress(ValueError, RecursionError):
            event = json.loads(line)
            if isinstance(event, dict) and isinstance(event.get("event"), str):
                event["time"] = datetime.fromisoformat(str(event.get("time")))
                yield event
