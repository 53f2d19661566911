"""The size of a CSV file, checked before it is parsed."""

from pathlib import Path

from clonecost.errors import Advice, DataError
from clonecost.persistence.file_limits import (
    TABLE_COLUMNS,
    TABLE_GROWTH,
    TABLE_HEADER,
    must_fit_memory,
    regular_file,
)
from clonecost.safe_text import first_line

_SEPARATORS = b",;\t|"


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
    must_fit_memory(str(path), size * TABLE_GROWTH)
