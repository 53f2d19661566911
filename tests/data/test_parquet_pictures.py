"""Pictures in Parquet files: the usual columns, a row group at a time."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clonecost.data import parquet_pictures
from clonecost.data.parquet_pictures import GROUPS, in_parquet
from clonecost.errors import DataError


def write(path: Path, columns: dict[str, Any], rows: int = 4) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=rows)
    return path


def contents(count: int, first: int = 0) -> list[bytes]:
    return [f"picture {number}".encode() for number in range(first, first + count)]


@pytest.mark.parametrize("form", ["struct", "plain", "only"])
def test_rows_of_shards_are_read_by_their_places(form: str, tmp_path: Path) -> None:
    files = []
    for number in range(2):
        found = contents(30, 30 * number)
        column = [{"bytes": one, "path": None} for one in found] if form == "struct" else found
        name = "anything" if form == "only" else "image"
        files.append(write(tmp_path / f"{number}.parquet", {name: column, "label": range(30)}))
    pictures = in_parquet(files)
    assert len(pictures) == 60
    for place in (59, 0, 31, 30, 29, 2):
        assert pictures.read(place) == f"picture {place}".encode()
    assert (pictures.name(0), pictures.name(31)) == ("0.parquet, row 1", "1.parquet, row 2")
    assert pictures.labels.tolist() == [*range(30)] * 2
    assert set(in_parquet([write(tmp_path / "no.parquet", {"img": found})]).labels) == {-1}


def test_few_row_groups_are_kept_and_neighbours_are_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = in_parquet([write(tmp_path / "a.parquet", {"image": contents(40)})])
    read: list[int] = []
    inside = pq.ParquetFile.read_row_group

    def noted(file: Any, group: int, **how: Any) -> Any:
        read.append(group)
        return inside(file, group, **how)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", noted)
    for place in range(40):
        pictures.read(place)
    assert read == [*range(10)]
    pictures.read(0)  # only the last ones are kept
    pictures.read(39)
    assert read == [*range(10), 0]
    assert GROUPS == 4


def test_what_is_no_pool_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="has the columns x, y, and not one of encoded pictures"):
        in_parquet([write(tmp_path / "a.parquet", {"x": contents(2), "y": contents(2)})])
    with pytest.raises(DataError, match=r"b\.parquet holds no rows"):
        in_parquet([write(tmp_path / "b.parquet", {"image": pa.array([], pa.binary())})])
    (tmp_path / "c.parquet").write_bytes(b"noise" * 99)
    with pytest.raises(DataError, match=r"c\.parquet cannot be read"):
        in_parquet([tmp_path / "c.parquet"])
    assert in_parquet([write(tmp_path / "d.parquet", {"image": [b"x", None]})]).read(1) == b""
    monkeypatch.setattr(parquet_pictures, "ROW_GROUP", 100)
    with pytest.raises(DataError, match=r"in one row group.* `row_group_size=256`"):
        in_parquet([write(tmp_path / "e.parquet", {"image": contents(40)}, 40)])
