from pathlib import Path

import pytest
from tests.support.memory import at_most

from clonecost.data.csv_size import bytes_needed
from clonecost.data.tables import load_table
from clonecost.errors import DataError
from clonecost.persistence import file_limits


def test_too_many_columns_and_endless_lines_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    path.write_text(",".join(f"c{k}" for k in range(200_000)) + "\n")
    with pytest.raises(DataError, match="has 200,000 columns, and at most 20,000"):
        load_table(str(path), "test")
    path.write_bytes(b"x" * 5_000_000)
    with pytest.raises(DataError, match=r"first line of .* more than 4,194,304 bytes"):
        load_table(str(path), "test")


def test_more_rows_than_the_memory_holds_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "long.csv"
    path.write_text("a,b,label\n" + "1,2,0\n3,4,1\n" * 50)
    assert len(load_table(str(path), "test")) == 100
    monkeypatch.setattr(file_limits, "free_memory", lambda: 2_000)
    with pytest.raises(DataError, match=r"long\.csv needs"):
        load_table(str(path), "test")


@pytest.mark.parametrize(
    "cells", ["1,2,3,1", "0.53211,0.91823,1", "w1,w2,w21,1", "é1,é2,\U0001f600"]
)
def test_the_limit_is_above_what_reading_takes(cells: str, tmp_path: Path) -> None:
    """By Python's own count, which sees neither pyarrow's memory nor pandas' parser."""
    path = tmp_path / "x.csv"
    other = cells.translate(str.maketrans("12", "21")).replace("\U0001f600", "\U0001f601")
    names = ",".join(f"name{k}" for k in range(cells.count(",")))
    path.write_text(f"{names},label\n" + f"{cells}\n{other}\n" * 20_000, encoding="utf-8")
    load_table(str(path), "test")  # imports
    with at_most(min(file_limits.TABLE_GROWTH * path.stat().st_size, bytes_needed(path))):
        load_table(str(path), "test")


def test_numbers_need_less_than_words(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"

    def growth(cells: str) -> float:
        path.write_text("one,two,label\n" + cells * 1_000)
        return bytes_needed(path) / path.stat().st_size

    assert growth("0.1234567890123456,-1.234567890123e-05,1\n") < 9
    assert growth('"0.53211";"0.91823";1\r\n') < 12
    assert growth("lemon,apple,1\n") > 24
    # a few words at the end, after numbers that a look at the beginning would take for all
    path.write_text("one,two,label\n" + "0.53211,0.91823,1\n" * 1_000)
    before = bytes_needed(path)
    with path.open("a") as file:
        file.write("lemon,apple,1\n" * 10)
    assert bytes_needed(path) > before + 20 * file_limits.TABLE_WORD
