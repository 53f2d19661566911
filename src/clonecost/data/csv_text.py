"""CSV files as their writer meant them: encoding, separator, header, and the type of each column.

All cells are read as text first. A column of numbers becomes numbers; everything else stays words,
also "None", "NA" and numbers with leading zeros. An empty cell is a missing value.
"""

import codecs
import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clonecost.data.frames import without_pandas
from clonecost.data.values import is_number, is_padded, listed
from clonecost.errors import Advice, DataError
from clonecost.persistence.file_limits import TABLE_HEADER
from clonecost.safe_text import first_line

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame, Series

_BOMS = (  # UTF-32's mark begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)  # fmt: skip
_SEPARATORS = ",;\t|"
_COMMA_NUMBER = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")
# What other programs write into a column of numbers where a number is missing.
_MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "#N/A")
_TRUTH = {"true": True, "false": False}
_LOOK = 1_000  # rows that the first line is compared with


def read_cells(path: Path, known: Sequence[str] = ()) -> "DataFrame":
    """The cells of a CSV file as text, under the names of its header.

    Args:
        known: names of the victim's columns; a header that has them all is a header for sure.

    Raises:
        DataError: pandas is not installed; the file is no text, has no header, a ragged row, two
            columns of one name, fewer than two columns, or no rows.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise without_pandas(str(path)) from error
    content, encoding = _checked(path)
    try:
        separator = _separator(content[:TABLE_HEADER], encoding)
        cells = pd.read_csv(
            io.BytesIO(content), sep=separator, header=None, dtype=str, na_filter=False,
            low_memory=False, encoding=encoding,
        )  # fmt: skip
        _check_whole(cells, io.BytesIO(content), encoding, separator, path)
    except (ValueError, OSError, csv.Error) as error:
        raise DataError(
            f"{path} cannot be read as CSV ({first_line(error)}).",
            Advice("save it as UTF-8, comma-separated, with a header"),
        ) from error
    header, frame = [str(name) for name in cells.iloc[0]], cells.iloc[1:].reset_index(drop=True)
    if len(header) < 2:
        raise DataError(
            f"{path} has fewer than two columns: want features and a label.",
            Advice("separate the columns by commas"),
        )
    if not set(known) <= set(header) or not known:
        _check_header(header, frame, known, path)
    frame.columns = pd.Index(header)
    frame = _without_index(frame)
    again = sorted({name for name in header if header.count(name) > 1})
    if again:
        raise DataError(
            f"{path} has two columns called {again[0]!r}, and columns are matched by name.",
            Advice("rename or remove one of them"),
        )
    if frame.empty:
        raise DataError(
            f"{path} has a header and no rows, and agreement is measured on rows.",
            Advice("add rows"),
        )
    return frame


def typed(cells: "Series", where: str) -> "Series":
    """A column of text as numbers, as truth values, or as words with None for an empty cell.

    Raises:
        DataError: the numbers have decimal commas.
    """
    from pandas import Series

    codes, distinct = _distinct(cells)  # long columns repeat their values
    numbers = _as_numbers(distinct)
    if numbers is not None:
        return Series(numbers[codes], name=cells.name)
    present = [text for text in distinct if text.strip() not in _MISSING]
    if present and all(_number_with_comma(text) for text in present):
        comma = next(text for text in present if "," in text)
        raise DataError(
            f"{where}: {cells.name} holds {comma!r}, a number with a comma; want a decimal point.",
            Advice("save the file with decimal points"),
        )
    if set(map(str.lower, distinct)) <= set(_TRUTH):
        truths = np.array([_TRUTH[text.lower()] for text in distinct])
        return Series(truths[codes], name=cells.name)
    words = np.array([text or None for text in distinct], dtype=object)
    return Series(words[codes], name=cells.name, dtype=object)


def _distinct(cells: "Series") -> "tuple[NDArray[np.intp], list[str]]":
    from pandas import factorize

    codes, distinct = factorize(cells.to_numpy(dtype=object))
    return codes, [str(text) for text in distinct]


def _as_numbers(distinct: list[str]) -> "NDArray[np.float64] | None":
    """The numbers, nan for a missing one; None if one is a word, or all are missing."""
    from pandas import Series, to_numeric

    texts = Series([text.strip() for text in distinct], dtype=object)
    absent = texts.isin(_MISSING).to_numpy()
    numbers = to_numeric(texts.mask(absent, "nan"), errors="coerce").to_numpy(dtype=np.float64)
    if absent.all() or not np.isfinite(numbers[~absent]).all():
        return None
    may_be_padded = [text for text in texts if text[:1] in ("0", "+", "-")]
    return None if any(is_padded(text) for text in may_be_padded) else numbers


def _number_with_comma(text: str) -> bool:
    return is_number(text.strip()) or bool(_COMMA_NUMBER.fullmatch(text.strip()))


def _checked(path: Path) -> tuple[bytes, str]:
    """The bytes of a file of text, and their encoding.

    The text itself, of up to four bytes a character, is not kept beside the cells.
    """
    content = path.read_bytes()
    encoding = next((name for mark, name in _BOMS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeError as error:
        raise DataError(
            f"{path} cannot be read as CSV (it is not {encoding.upper().removesuffix('-SIG')}).",
            Advice("save it as UTF-8, comma-separated, with a header"),
        ) from error
    empty = not text or text.isspace()  # strip() would copy it
    if empty or "\0" in text:
        reason = "it is empty" if empty else "it holds bytes that are no text"
        raise DataError(
            f"{path} cannot be read as CSV ({reason}).",
            Advice("save it as UTF-8, comma-separated, with a header"),
        )
    return content, encoding


def _separator(beginning: bytes, encoding: str) -> str:
    """The separator that the first line has most often, outside quotes."""
    text = codecs.getincrementaldecoder(encoding)().decode(beginning)  # may end within a character
    first = next((line for line in text.splitlines() if line.strip()), "")
    return max(_SEPARATORS, key=lambda mark: len(next(csv.reader([first], delimiter=mark))))


def _check_whole(
    cells: "DataFrame", content: io.BytesIO, encoding: str, separator: str, path: Path
) -> None:
    """Refuse a row with too few cells, which pandas fills up; only a row that ends empty may be."""
    if not (cells.iloc[:, -1].isna() | (cells.iloc[:, -1] == "")).any():
        return
    # newline=None: a lone carriage return ends a line, as for pandas
    lines = io.TextIOWrapper(content, encoding, newline=None)
    rows = (row for row in csv.reader(lines, delimiter=separator) if row)
    short = next((k for k, row in enumerate(rows) if len(row) < cells.shape[1]), None)
    if short is not None:
        raise DataError(
            f"{path} has a row with fewer cells than its header has names (row {short}).",
            Advice("complete the row; an empty cell between separators is a missing value"),
        )


def _check_header(header: list[str], frame: "DataFrame", known: Sequence[str], path: Path) -> None:
    """Refuse a first line that is a row: under a header its values would become names."""
    if frame.empty or not _is_row(header, frame):
        return
    names = listed(known) + ", label" if known else "age, income, label"
    raise DataError(
        f"{path} has no header: its first line, {listed(header)}, holds values and no names.",
        Advice(f"add a first line with the names of the columns, such as {names}"),
    )


def _is_row(header: list[str], frame: "DataFrame") -> bool:
    """Whether the first line looks like the rows below it, column by column."""
    distinct = [_distinct(frame.iloc[:_LOOK, k])[1] for k in range(len(header))]
    numeric = [_as_numbers(cells) is not None for cells in distinct]
    if any(of_numbers and not is_number(name.strip())
           for of_numbers, name in zip(numeric, header, strict=True)):  # fmt: skip
        return False
    words = [k for k, of_numbers in enumerate(numeric) if not of_numbers]
    if any(header[k].strip() and header[k] in distinct[k] for k in words):
        return True
    names = [name.strip() for name in header if is_number(name.strip())]
    if words:  # whole numbers may be years; 5.1 is no name of a column
        return any(not name.isdigit() for name in names)
    return names != [str(k) for k in range(len(names))]  # as pandas names columns of an array


def _without_index(frame: "DataFrame") -> "DataFrame":
    """The frame without the numbers of the rows, which some programs write under no name."""
    first = frame.iloc[:, 0]
    if str(frame.columns[0]).strip() in ("", "Unnamed: 0") and list(first) == [
        str(k) for k in range(len(first))
    ]:
        return frame.iloc[:, 1:]
    return frame
