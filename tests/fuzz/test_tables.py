"""Tables: CSV and Parquet. Any bytes, and altered files."""

import io
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.fuzzing import broken, fuzz, holds_its_promise

from clonecost.data.tables import load_table

FRAME = pd.DataFrame(
    {
        "age": [31, 42, 53],
        "city": ["a", "b", "a"],
        "sum": [1.5, -2.0, 3e9],
        "label": ["x", "y", "x"],
    }
)
CSV = FRAME.to_csv(index=False).encode()
QUOTED = b'a;"b;c";label\n1;"x ""y""";1\n2;z;0\n'
ODD = st.sampled_from(["", " ", "0", "007", "1e5", "1e999", "1,5", "NA", "None", "true",
                       '"', '""', "é", "\x1b[2J", "9" * 400, "label", "\r", "inf"])  # fmt: skip
CELLS = ODD | st.text(max_size=4)
ROWS = st.lists(st.lists(CELLS, min_size=1, max_size=5), min_size=1, max_size=6)
CODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1"])


def joined(rows: list[list[str]], separator: str, end: str, coding: str) -> bytes:
    return end.join(map(separator.join, rows)).encode(coding, errors="replace")


TEXTS = st.builds(joined, ROWS, st.sampled_from(",;\t|"), st.sampled_from(["\n", "\r\n"]), CODINGS)


def parquet(frame: pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    frame.to_parquet(stream)
    return stream.getvalue()


PARQUET = parquet(FRAME)
CATEGORIES = parquet(FRAME.astype({"city": "category"}))


SEEDS = {"csv": (CSV, QUOTED, FRAME.to_csv(index=False).encode("utf-16")),
         "parquet": (PARQUET, CATEGORIES)}  # fmt: skip


@pytest.mark.parametrize("suffix", SEEDS)
def test_the_seeds_are_accepted(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"own.{suffix}"
    for content in SEEDS[suffix]:
        path.write_bytes(content)
        assert len(load_table(str(path), "test").labels) > 1


@fuzz
@given(content=broken(*SEEDS["csv"]) | TEXTS)
def test_csv(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "own.csv"
    path.write_bytes(content)
    holds_its_promise(lambda: load_table(str(path), "test"))


@fuzz
@given(content=broken(*SEEDS["parquet"]))
def test_parquet(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "own.parquet"
    path.write_bytes(content)
    holds_its_promise(lambda: load_table(str(path), "test"))


FRAMES = st.sampled_from([
    FRAME.assign(sum=[None, {"a": 1}, {"a": 2}]), FRAME.assign(sum=[[1], [2, 3], []]),
    FRAME.assign(sum=pd.to_datetime(["2026-01-01"] * 3)), FRAME.assign(sum=[b"\xff", b"", b"a"]),
    FRAME.assign(sum=pd.to_timedelta([1, 2, 3])), FRAME.assign(label=[None, None, None]),
    FRAME.assign(label=[b"x", b"y", b"x"]), FRAME.assign(label=[[1], [1], [2]]),
    FRAME.assign(sum=[10**18, 1, 2]), FRAME.assign(sum=["\x1b[2J", "a", "b"]), FRAME.iloc[:0],
    FRAME[["label"]], FRAME[["age"]], FRAME.set_index("age"), FRAME.assign(sum=[float("inf")] * 3),
])  # fmt: skip


@fuzz
@given(frame=FRAMES)
def test_odd_columns_of_parquet(tmp_path: Path, frame: pd.DataFrame) -> None:
    path = tmp_path / "own.parquet"
    path.write_bytes(parquet(frame))
    holds_its_promise(lambda: load_table(str(path), "test"))
