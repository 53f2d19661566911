"""CSV files of other programs: encodings, separators, headers, and what a cell is."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clonecost.data.csv_text import read_cells, typed
from clonecost.errors import DataError

ROWS = [["40", "red", "yes"], ["18", "green", "no"], ["99", "red", "no"]]
HEADER = ["age", "colour", "label"]


def written(path: Path, encoding: str = "utf-8", mark: str = ",") -> Path:
    lines = [mark.join(cells) for cells in [HEADER, *ROWS]]
    path.write_bytes("\r\n".join(lines).encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_every_encoding_with_a_mark_and_every_separator(
    encoding: str, mark: str, tmp_path: Path
) -> None:
    cells = read_cells(written(tmp_path / "x.csv", encoding, mark))
    assert [list(cells.columns), *cells.to_numpy().tolist()] == [HEADER, *ROWS]


def test_a_separator_in_quotes_separates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text('"age, years";label\n1;x\n3;y\n', encoding="utf-8")
    assert list(read_cells(path).columns) == ["age, years", "label"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "it is empty"), (b"a,label\n\x001,2\n", "no text"),
        (b"a,label\n\xff,2\n", "it is not UTF-8"), ("a,label\n1,2\n".encode("utf-16-le"), "text"),
        (b"a,label\n", "a header and no rows"),
        (b"a,a,label\n1,2,x\n3,4,y\n", "two columns called 'a'"),
        (b"a,b,label\n1,2\n3,4,x\n", r"fewer cells than its header has names \(row 1\)"),
        (b"a,label\n1,2,3\n", "cannot be read as CSV.*saw 3"),
        (b"5.1,3.5,setosa\n4.9,3.0,setosa\n", "no header: its first line, 5.1, 3.5, setosa"),
        (b"1,2,3\n4,5,6\n", "no header"), (b"red,yes\ngreen,no\nred,yes\n", "no header"),
    ],
)  # fmt: skip
def test_what_is_no_table_is_one_sentence(content: bytes, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=sentence):
        read_cells(path)


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("0,1,2,label\n5.1,3.5,1,a\n4.9,3.0,2,b\n", ["0", "1", "2", "label"]),
        ("0,1,2\n5.1,3.5,1\n4.9,3.0,2\n", ["0", "1", "2"]),
        ("country,2019,2020,label\nPeru,1,2,a\nChad,3,4,b\n", ["country", "2019", "2020", "label"]),
        (",age,label\n0,40,yes\n1,18,no\n", ["age", "label"]),
    ],
)
def test_numbers_may_be_names(content: str, names: list[str], tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(content, encoding="utf-8")
    assert list(read_cells(path).columns) == names


def test_the_names_of_the_model_are_a_header_whatever_they_are(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("7,9,label\n7,1,a\n9,2,b\n", encoding="utf-8")
    assert list(read_cells(path, known=["9", "7"]).columns) == ["7", "9", "label"]


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", " 2.5", "-3e2"], [1, 2.5, -300]), (["1", "", "NA"], [1, np.nan, np.nan]),
        (["True", "false"], [True, False]), (["None", "full"], ["None", "full"]),
        (["02139", "10001"], ["02139", "10001"]), (["NA", ""], ["NA", None]),
        (["1", "x", ""], ["1", "x", None]), (["inf", "1"], ["inf", "1"]),
    ],
)  # fmt: skip
def test_a_column_is_numbers_only_if_every_cell_is(cells: list[str], values: list[object]) -> None:
    found = typed(pd.Series(cells, name="c"), "x.csv").tolist()
    assert [None if one != one else one for one in found] == [
        None if one != one else one for one in values
    ]


def test_decimal_commas_are_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"income holds '41,5', a number with a comma"):
        typed(pd.Series(["3", "41,5"], name="income"), "x.csv")


@settings(max_examples=60)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(-99, 99), st.sampled_from(["red", "green", "None", "a, b", 'say "x"']),
            st.floats(-1e6, 1e6, allow_nan=False).map(lambda one: round(one, 3)),
            st.sampled_from(["yes", "no"]),
        ), min_size=8, max_size=30,
    ),
    mark=st.sampled_from([",", ";", "\t"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)  # fmt: skip
def test_what_pandas_writes_comes_back_and_no_row_is_lost(
    rows: list[tuple[object, ...]], mark: str, encoding: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    frame = pd.DataFrame(rows, columns=["n", "word", "x", "label"])
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    frame.to_csv(path, index=False, sep=mark, encoding=encoding)
    cells = read_cells(path)
    assert list(cells.columns) == list(frame.columns)
    assert np.array_equal(typed(cells["n"], "x"), frame["n"])
    assert np.array_equal(typed(cells["x"], "x"), frame["x"])
    assert typed(cells["word"], "x").tolist() == frame["word"].tolist()
    bare = frame.to_csv(index=False, header=False, sep=mark)
    path.write_text(bare, encoding="utf-8")
    repeats = any(frame[name].iloc[1:].eq(frame[name].iloc[0]).any() for name in ("word", "label"))
    if repeats:
        with pytest.raises(DataError, match="no header"):
            read_cells(path)
