"""The encoded pictures of Parquet files, a row group at a time."""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clonecost.data.encoded_pictures import UNLABELLED
from clonecost.data.parquet import IMAGES, LABELS, pyarrow_parquet
from clonecost.errors import Advice, DataError
from clonecost.persistence.file_limits import ROW_GROUP, regular_file
from clonecost.safe_text import first_line

GROUPS = 4  # row groups that are kept, the last ones used


@dataclass(frozen=True)
class _Kept:
    """The row groups read last, as Arrow arrays of encoded pictures."""

    groups: OrderedDict[int, Any] = field(default_factory=OrderedDict)
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class ParquetPictures:
    """The pictures of Parquet files, in their order."""

    files: Sequence[Path]
    column: str
    groups: Sequence[tuple[int, int]]  # of each row group: its file, its number there
    starts: NDArray[np.int64]  # (groups + 1,) the place of the first row of each group
    digests: Sequence[str]  # what stands for each file in the digest
    labels: NDArray[np.int64]
    classes: tuple[str, ...] = ()
    kept: _Kept = field(default_factory=_Kept)

    def __len__(self) -> int:
        return int(self.starts[-1])

    def name(self, place: int) -> str:
        group = self._group_of(place)
        file = self.groups[group][0]
        first = next(k for k, (other, _) in enumerate(self.groups) if other == file)
        return f"{self.files[file].name}, row {place - int(self.starts[first]) + 1:,}"

    def read(self, place: int) -> bytes:
        group = self._group_of(place)
        row = self._rows(group)[place - int(self.starts[group])].as_py()
        content = row.get("bytes") if isinstance(row, dict) else row
        if not isinstance(content, bytes):
            return b""  # no picture
        return content

    def facts(self) -> Iterator[str]:
        yield from self.digests

    def _group_of(self, place: int) -> int:
        return int(np.searchsorted(self.starts, place, side="right")) - 1

    def _rows(self, group: int) -> Any:
        with self.kept.lock:
            rows = self.kept.groups.pop(group, None)
            if rows is None:
                rows = self._from_disk(group)
            self.kept.groups[group] = rows
            while len(self.kept.groups) > GROUPS:
                self.kept.groups.popitem(last=False)
            return rows

    def _from_disk(self, group: int) -> Any:
        number, of_file = self.groups[group]
        pa, pq = pyarrow_parquet(self.files[number])
        try:
            with pq.ParquetFile(self.files[number]) as file:
                return file.read_row_group(of_file, columns=[self.column]).column(0)
        except (pa.ArrowException, OSError, TypeError, ValueError) as error:
            raise _unreadable(self.files[number], error) from error


def in_parquet(files: Sequence[Path]) -> ParquetPictures:
    """The pictures of Parquet files: a column of encoded pictures, perhaps one of class numbers.

    Raises:
        DataError: pyarrow is missing; a file is damaged, has no one column of pictures, or keeps
            more of them in a row group than is read at once; there are no rows.
    """
    groups, counts, digests, labels = [], [0], [], []
    column = ""
    for number, path in enumerate(files):
        size = regular_file(path)
        pa, pq = pyarrow_parquet(path)
        try:
            with pq.ParquetFile(path) as file:
                about = file.metadata
                column = _column(path, file.schema_arrow, pa)
                for group in range(about.num_row_groups):
                    _must_be_small(path, about.row_group(group).total_byte_size)
                    groups.append((number, group))
                    counts.append(about.row_group(group).num_rows)
                labels.append(_labels(file))
        except (pa.ArrowException, OSError, TypeError, ValueError) as error:
            raise _unreadable(path, error) from error
        digests.append(f"{path.name}\0{size}\0{about.num_rows}\0{column}")
    starts = np.cumsum(np.array(counts, np.int64))
    if not starts[-1]:
        raise DataError(f"{files[0]} holds no rows.", Advice("get the file again"))
    return ParquetPictures(
        tuple(files), column, groups, starts, digests, np.concatenate(labels)
    )  # fmt: skip


def _column(path: Path, schema: Any, pa: Any) -> str:
    """The column of encoded pictures: by its usual name, else the only one of that kind."""
    fit = [field.name for field in schema if _holds_bytes(field.type, pa.types)]
    named = [name for name in fit if name in IMAGES]
    if len(named or fit) != 1:
        raise DataError(
            f"{path} has the columns {', '.join(schema.names)}, and not one of encoded pictures.",
            Advice(f"call the column of the pictures' bytes {IMAGES[-1]}"),
        )
    return (named or fit)[0]


def _holds_bytes(kind: Any, types: Any) -> bool:
    if types.is_struct(kind):
        return any(part.name == "bytes" and _holds_bytes(part.type, types) for part in kind)
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _labels(file: Any) -> NDArray[np.int64]:
    name = next((name for name in LABELS if name in file.schema_arrow.names), None)
    if name is not None:
        values = file.read(columns=[name]).column(0).to_numpy()
        if values.dtype.kind in "iu":  # not with missing values
            return values.astype(np.int64)
    return np.full(file.metadata.num_rows, UNLABELLED, np.int64)


def _must_be_small(path: Path, size: int) -> None:
    if size > ROW_GROUP:
        raise DataError(
            f"{path} keeps {size / 2**20:,.0f} MiB of rows in one row group, which are read for "
            "each picture",
            Advice("write the file again with fewer rows in a group: `row_group_size=256`"),
            want=f"at most {ROW_GROUP >> 20} MiB",
        )  # fmt: skip


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} cannot be read ({first_line(error)}).", Advice("get the file again"))
