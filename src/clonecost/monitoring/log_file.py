"""An API's own log, one JSON object a line: time, principal, digest or row, top-1, confidence.

    {"time": "2026-03-01T12:00:00Z", "principal": "shop-17", "digest": "9f2c...", "top1": "shoe",
     "confidence": 0.93}

`time` is ISO 8601 (UTC without a zone) or seconds since 1970, and never runs backwards. `digest` is
any text that is equal for equal rows; `row` may stand in its place, the numbers themselves.
`confidence` may be missing on all lines. Other keys are not read. The file may be a stranger's: it
is read line by line with limits, and names keep their characters until they are shown.
"""

import hashlib
import json
import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clonecost.detectors.base import Stream, row_keys
from clonecost.errors import Advice, DataError
from clonecost.persistence.file_limits import (
    CLASSES,
    LOG_LINE,
    LOG_PRINCIPALS,
    LOG_ROWS,
    regular_file,
)
from clonecost.safe_text import one_line

NEEDED = ("time", "principal", "top1")
_MOST_NAME = 200  # characters of a principal or class
_DIGEST = 1_000  # characters of a digest
DAY = 86_400  # seconds


@dataclass(frozen=True)
class Log:
    """The rows of a log in their order.

    Attributes:
        path: of the file.
        times: (n,) seconds since 1970, ascending.
        owner: (n,) the number of each row's principal in `principals`.
        rows: all rows as one stream.
        principals, classes: names in the order of their first row.
    """

    path: Path
    times: NDArray[np.float64]
    owner: NDArray[np.int64]
    rows: Stream
    principals: tuple[str, ...]
    classes: tuple[str, ...]

    @cached_property
    def _by_owner(self) -> list[NDArray[np.intp]]:
        order = np.argsort(self.owner, kind="stable")
        counts = np.bincount(self.owner, minlength=len(self.principals))
        return np.split(order, counts.cumsum()[:-1])

    def stream(self, principal: int) -> Stream:
        """The rows of one principal."""
        return self.rows.take(self._by_owner[principal])

    def busiest_days(self) -> NDArray[np.int64]:
        """(principals,) the rows of each on the day with most of them, in UTC."""
        day = (self.times // DAY).astype(np.int64)
        _, number = np.unique(np.stack([self.owner, day], 1), axis=0, return_inverse=True)
        counts = np.bincount(number.ravel())
        most = np.zeros(len(self.principals), np.int64)
        np.maximum.at(most, self.owner, counts[number.ravel()])
        return most


@dataclass
class _Columns:
    """What is read so far; `kinds` holds the type that a column had on its first line."""

    times: "array[float]" = field(default_factory=lambda: array("d"))
    owner: "array[int]" = field(default_factory=lambda: array("l"))
    top: "array[int]" = field(default_factory=lambda: array("l"))
    confidence: "array[float]" = field(default_factory=lambda: array("f"))
    digests: bytearray = field(default_factory=bytearray)
    principals: dict[str | int, int] = field(default_factory=dict)
    classes: dict[str | int, int] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)


def read_log(path: Path) -> Log:
    """Read a log.

    Raises:
        DataError: a line is no object, lacks a column, or has a value that cannot be; times run
            backwards; a column changes its type; the file is empty or too long.
    """
    regular_file(path)
    columns = _Columns()
    for number, line in _lines(path):
        where = f"{path}, line {number:,}"
        _take(columns, _object(line, where), where)
    if not columns.times:
        raise DataError(f"{path} has no rows.", Advice("give a log with one JSON object a line"))
    top = np.array(columns.top, np.int64)
    confidence = np.array(columns.confidence, np.float32) if columns.confidence else None
    rows = Stream(digests=row_keys(bytes(columns.digests)), top=top,
                  classes=max(2, len(columns.classes)), confidence=confidence)  # fmt: skip
    return Log(
        path=path, times=np.array(columns.times), owner=np.array(columns.owner, np.int64),
        rows=rows, principals=tuple(map(_name, columns.principals)),
        classes=tuple(map(_name, columns.classes)),
    )  # fmt: skip


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines with their numbers, from 1; empty ones are left out."""
    with path.open("rb") as file:
        number = 0
        while line := file.readline(LOG_LINE + 1):
            number += 1
            if len(line) > LOG_LINE:
                raise DataError(
                    f"{path}, line {number:,}, is longer than {LOG_LINE:,} bytes",
                    Advice("log a digest in place of the row"),
                )
            if number > LOG_ROWS:
                raise DataError(f"{path} has more than {LOG_ROWS:,} lines",
                                Advice("give one month of it, or one week"))  # fmt: skip
            if line.strip():
                yield number, line


def _object(line: bytes, where: str) -> dict[str, Any]:
    try:
        found = json.loads(line, parse_constant=_no_number)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise DataError(f"{where}, is no JSON object.", Advice("write one JSON object a line"))
    return found


def _no_number(text: str) -> Any:
    raise ValueError(text)


def _take(columns: _Columns, row: dict[str, Any], where: str) -> None:
    """Add one row, or say what is wrong with it."""
    for name in NEEDED:
        if row.get(name) is None:
            raise DataError(
                f"{where}, has no {name!r}",
                Advice("log time, principal, top1, and digest or row on every line; confidence "
                       "helps"),
            )  # fmt: skip
    _time(columns, row["time"], where)
    columns.owner.append(_number_of(columns, "principal", row["principal"], where))
    columns.top.append(_number_of(columns, "top1", row["top1"], where))
    columns.digests += _digest(columns, row, where)
    confidence = row.get("confidence")
    kind = "no confidence" if confidence is None else "a confidence"
    _same_kind(columns, "confidence", kind, where)
    if confidence is not None:
        if not _is_number(confidence) or not 0 <= confidence <= 1:
            raise DataError(f"{where}, has a confidence that is no probability",
                            Advice("log the largest probability of the answer"),
                            got=_shown(confidence), want="0 to 1")  # fmt: skip
        columns.confidence.append(confidence)


def _time(columns: _Columns, value: Any, where: str) -> None:
    seconds = math.nan
    if _is_number(value):
        seconds = float(value)
    elif isinstance(value, str) and len(value) < 100:
        try:
            at = datetime.fromisoformat(value)
            seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            seconds = math.nan
    if not -1e11 < seconds < 1e11:
        raise DataError(
            f"{where}, has a time that is none",
            Advice("write times as 2026-03-01T12:00:00Z, or as seconds since 1970"),
            got=_shown(value),
        )  # fmt: skip
    _same_kind(columns, "time", "a number" if _is_number(value) else "a text", where)
    if columns.times and seconds < columns.times[-1]:
        raise DataError(f"{where}, is earlier than the line before it: the times run backwards",
                        Advice("sort the log by time"))  # fmt: skip
    columns.times.append(seconds)


def _number_of(columns: _Columns, name: str, value: Any, where: str) -> int:
    """The number of a principal or class; a new one gets the next."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise DataError(f"{where}, has a {name} that is neither a text nor a whole number",
                        Advice(f"write every {name} as text"), got=_shown(value))  # fmt: skip
    if isinstance(value, str) and not 0 < len(value) <= _MOST_NAME:
        raise DataError(f"{where}, has a {name} of {len(value):,} characters",
                        Advice("write a shorter name"), want=f"1 to {_MOST_NAME}")  # fmt: skip
    _same_kind(columns, name, "a text" if isinstance(value, str) else "a number", where)
    known = columns.principals if name == "principal" else columns.classes
    most = LOG_PRINCIPALS if name == "principal" else CLASSES
    number = known.setdefault(value, len(known))
    if number >= most:
        raise DataError(f"{where}, has one {name} more than {most:,}",
                        Advice("give a part of the log"))  # fmt: skip
    return number


def _digest(columns: _Columns, row: dict[str, Any], where: str) -> bytes:
    digest, values = row.get("digest"), row.get("row")
    _same_kind(columns, "row", "a digest" if values is None else "a row", where)
    if isinstance(digest, str) and values is None and 0 < len(digest) <= _DIGEST:
        content = digest.encode(errors="surrogatepass")
    elif isinstance(values, list) and values:
        try:
            content = np.array(values, np.float32).tobytes()
        except (ValueError, TypeError, OverflowError):
            raise DataError(f"{where}, has a row that is no list of numbers",
                            Advice("log a digest in its place")) from None  # fmt: skip
    else:
        raise DataError(f"{where}, has neither a digest nor a row",
                        Advice("log a digest of the input, equal for equal inputs"))  # fmt: skip
    return hashlib.blake2b(content, digest_size=16).digest()


def _same_kind(columns: _Columns, name: str, kind: str, where: str) -> None:
    before = columns.kinds.setdefault(name, kind)
    if before != kind:
        what = "" if name in ("row", "confidence") else f" as its {name}"
        raise DataError(
            f"{where}, has {kind}{what}, and the lines before have {before}",
            Advice("write every line in the same form"),
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _name(value: str | int) -> str:
    """A name as text that every encoding can write: lone surrogates are spelt out."""
    return str(value).encode(errors="backslashreplace").decode()


def _shown(value: Any) -> str:
    text = one_line(repr(value)[:100])
    return text if len(text) < 60 else f"{text[:57]}..."
