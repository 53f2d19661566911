"""Texts of the user's own: a file of lines, or a column of a CSV, JSON Lines or Parquet file.

Which column holds the text is a key and never a guess: a table has columns of words, too.
"""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clonecost.data.parquet import pyarrow_parquet
from clonecost.data.text_rows import clean
from clonecost.data.values import is_number, listed
from clonecost.errors import Advice, DataError, DropKey, SetKey
from clonecost.persistence.file_limits import must_fit_memory, regular_file
from clonecost.safe_text import first_line

LABEL = "label"  # the column of the classes, where no other is named
COLUMNS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
GROWTH = 12  # memory of a file's texts in sizes of the file: strings, and their rows
CELL = 1 << 24  # characters of a cell of a CSV file


@dataclass(frozen=True)
class Texts:
    """The texts of a file, and the values in its label column; None: it has none."""

    texts: list[str]
    labels: list[Any] | None = None


def read_texts(
    path: Path, text_column: str | None = None, label_column: str | None = None, *,
    labels: bool = True,
) -> Texts:  # fmt: skip
    """The texts of a file.

    Args:
        path: a .csv, .tsv, .jsonl, .ndjson or .parquet file with a text column; any other file has
            a text in each line that is not empty, and no labels.
        text_column: the column that holds the text.
        label_column: the column of the classes; None: `label`, else the only other column.
        labels: whether the classes are read.

    Raises:
        DataError: the file cannot be read, has no such column, or the column holds no text.

    Example:
        >>> read_texts(Path("reviews.csv"), "review").texts[0]  # doctest: +SKIP
        'The soup was cold.'
    """
    must_fit_memory(str(path), GROWTH * regular_file(path))
    suffix = path.suffix.lower()
    if suffix not in COLUMNS:
        lines = [clean(line) for line in _text_of(path).splitlines() if line.strip()]
        if not lines:
            raise DataError(f"{path} has no line with a text", Advice("write one text a line"))
        return Texts(lines)
    if text_column is None:
        raise DataError(
            f"{path} has columns, and it is not said which one holds the text",
            SetKey("text_column"),
        )
    names, rows = _of_columns(path)
    found = _chosen(path, names, rows, text_column)
    if not labels:
        return Texts(found)
    label = label_column or _label_of(path, names, text_column)
    if label is not None and (label not in names or label == text_column):
        raise DataError(
            f"{path} has no column {label!r} beside the text", SetKey("label_column"),
            want=listed(name for name in names if name != text_column),
        )  # fmt: skip
    return Texts(found, None if label is None else [row.get(label) for row in rows])


def _of_columns(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """The names of the columns, and the rows."""
    try:
        match path.suffix.lower():
            case ".parquet":
                return _of_parquet(path)
            case ".jsonl" | ".ndjson":
                return _of_json_lines(path)
        content = _text_of(path)
        csv.field_size_limit(CELL)
        found = csv.DictReader(
            content.splitlines(keepends=True), dialect=_dialect(path, content), strict=True
        )
        rows = list(found)
    except (csv.Error, ValueError) as error:
        raise DataError(
            f"{path} cannot be read ({first_line(error)})", Advice("save it again as UTF-8")
        ) from error
    names = list(found.fieldnames or [])
    uneven = next((k for k, row in enumerate(rows) if None in row or None in row.values()), None)
    if uneven is not None:
        raise DataError(
            f"{path} has a row with more or fewer cells than its header has names (row "
            f"{uneven + 1:,})", Advice("put a text with a separator or a line break in quotes"),
        )  # fmt: skip
    return names, rows


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise DataError(
            f"{path} is no file of text ({first_line(error)})", Advice("save it as UTF-8")
        ) from error


def _dialect(path: Path, content: str) -> type[csv.Dialect]:
    """Commas, tabs in a .tsv file, or the semicolons of a header without a comma."""
    header = content.partition("\n")[0]
    separator = ";" if ";" in header and "," not in header else ","

    class Read(csv.excel):
        delimiter = "\t" if path.suffix.lower() == ".tsv" else separator

    return Read


def _of_json_lines(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(_text_of(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"Line {number:,} of {path} is no JSON ({first_line(error)})",
                Advice("write one object a line"),
            ) from error
        if not isinstance(row, dict):
            raise DataError(f"Line {number:,} of {path} is no object with named values",
                            Advice("write one object a line"))  # fmt: skip
        rows.append(row)
    return list(dict.fromkeys(name for row in rows for name in row)), rows


def _of_parquet(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    pa, pq = pyarrow_parquet(path)
    try:
        file = pq.ParquetFile(path)
        about = file.metadata
        sizes = [about.row_group(k).total_byte_size for k in range(about.num_row_groups)]
        must_fit_memory(str(path), GROWTH * sum(sizes))
        table = file.read()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet ({first_line(error)})",
                        Advice("get the file again")) from error  # fmt: skip
    return list(table.column_names), table.to_pylist()


def _chosen(
    path: Path, names: Sequence[str], rows: Sequence[dict[str, Any]], column: str
) -> list[str]:
    if not rows:
        raise DataError(f"{path} has no rows, and agreement is measured on rows",
                        Advice("add rows"))  # fmt: skip
    if column not in names:
        raise DataError(f"{path} has no column {column!r}", SetKey("text_column"),
                        want=listed(names))  # fmt: skip
    found = [row.get(column) for row in rows]
    wrong = next((k for k, one in enumerate(found) if not isinstance(one, str)), None)
    if wrong is not None:
        kind = "no value" if found[wrong] is None else type(found[wrong]).__name__
        raise DataError(
            f"The column {column!r} of {path} holds no text in row {wrong + 1:,}",
            SetKey("text_column"), Advice("leave out rows without a text"),
            got=kind, want="text",
        )  # fmt: skip
    texts = [clean(one) for one in found if isinstance(one, str)]
    if all(is_number(one.strip()) for one in texts):
        raise DataError(
            f"The column {column!r} of {path} holds numbers and no text", SetKey("text_column"),
            DropKey("text_column"), got=texts[0][:30], want="text",
        )  # fmt: skip
    return texts


def _label_of(path: Path, names: Sequence[str], text: str) -> str | None:
    others = [name for name in names if name != text]
    if LABEL in others or not others:
        return LABEL if others else None
    if len(others) > 1:
        raise DataError(
            f"{path} has several columns beside the text, and one of them may hold the classes: "
            f"{listed(others)}", SetKey("label_column"),
        )  # fmt: skip
    return others[0]
