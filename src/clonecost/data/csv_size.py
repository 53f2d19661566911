"""The size of a CSV file, checked before it is parsed."""

from pathlib import Path

from clonecost.errors import Advice, DataError
from clonecost.persistence.file_limits import (
    TABLE_CELL,
    TABLE_COLUMNS,
    TABLE_GROWTH,
    TABLE_HEADER,
    TABLE_WORD,
    must_fit_memory,
    regular_file,
)
from clonecost.safe_text import first_line

CHUNK = 1 << 20  # bytes counted at a time
_SEPARATORS = b",;\t|"
_ENDS = (b",", b";", b"\t", b"|", b"\n")  # of cells; a comma in a number counts as one, too
_OF_NUMBERS = b'0123456789.+-eE "\r\n' + _SEPARATORS


def must_be_small_enough(path: Path) -> None:
    """Refuse a CSV file with too many columns, a first line without end, or too many rows.

    Raises:
        DataError: no regular file, or above one of the limits.

    Example:
        >>> must_be_small_enough(Path("rows.csv"))  # doctest: +SKIP
    """
    size = regular_file(path)
    try:
        with path.open("rb") as stream:
            line = stream.readline(TABLE_HEADER)
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({first_line(error)}).", Advice("check its permissions")
        ) from error
    if len(line) >= TABLE_HEADER:
        raise DataError(
            f"The first line of {path} has more than {TABLE_HEADER:,} bytes.",
            Advice("save it as text with a header"),
        )
    columns = 1 + max(line.count(mark) for mark in _SEPARATORS)
    if columns > TABLE_COLUMNS:
        raise DataError(
            f"{path} has {columns:,} columns, and at most {TABLE_COLUMNS:,} are read.",
            Advice("keep the columns that the model takes"),
        )
    must_fit_memory(str(path), min(size * TABLE_GROWTH, bytes_needed(path)))


def bytes_needed(path: Path) -> int:
    """Bytes that a CSV file takes while it is read, by its cells and those that may be words.

    One pass counts them: a part of the file says nothing of the rest.

    Example:
        >>> bytes_needed(Path("rows.csv"))  # doctest: +SKIP
    """
    size = cells = others = 0
    with path.open("rb") as stream:
        header = stream.readline(TABLE_HEADER)  # words that name columns
        size, cells = len(header), 1 + sum(map(header.count, _ENDS))
        while chunk := stream.read(CHUNK):
            size += len(chunk)
            cells += sum(map(chunk.count, _ENDS))
            others += len(chunk.translate(None, _OF_NUMBERS))
    return 5 * size + TABLE_CELL * cells + TABLE_WORD * min(cells, others)
