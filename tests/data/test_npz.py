import io
import math
import os
import struct
import zipfile
from contextlib import nullcontext, suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.memory import at_most

from clonecost.data import load
from clonecost.data.npz import read_npz
from clonecost.data.tables import load_table
from clonecost.errors import DataError
from clonecost.persistence import file_limits


def member(
    shape: tuple[int, ...], descr: str = "|u1", *, rows: bytes = b"", version: int = 1
) -> bytes:
    words = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    length = struct.pack("<H" if version == 1 else "<I", len(words))
    return b"\x93NUMPY" + bytes([version, 0]) + length + words + rows


def archive(path: Path, content: bytes, name: str = "inputs.npy") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, content)
    return path


def test_arrays_are_as_numpy_reads_them(tmp_path: Path) -> None:
    arrays = {
        "inputs": np.arange(24, dtype=">f4").reshape(2, 3, 4), "labels": np.array([1, 2]),
        "names": np.array(["a", "bä"]), "fortran": np.asfortranarray(np.eye(3)),
    }  # fmt: skip
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "own.npz", **arrays)  # type: ignore[arg-type]
        found = read_npz(tmp_path / "own.npz")
        assert set(found) == set(arrays)
        for name, values in arrays.items():
            np.testing.assert_array_equal(found[name], values)
            assert found[name].dtype.isnative
        assert list(read_npz(tmp_path / "own.npz", ["labels", "none"])) == ["labels"]


@pytest.mark.parametrize("content", [
    member((10**12,)), member((10**6, 10**6), rows=b"12"), member((2**62, 2**62)),
    member((-1,)), member((1,), f"<U{10**9}"), member((4,), rows=b"12345"), member((4,), "|O"),
    member((4,), rows=b"1234", version=2)[:8] + b"\xff\xff\xff\xff" + b" " * 99_000,
    member((4,), version=3), b"", b"\x93NUMPY", b"nonsense",
])  # fmt: skip
def test_what_a_header_states_takes_no_memory(content: bytes, tmp_path: Path) -> None:
    path = archive(tmp_path / "own.npz", content)
    with at_most(3_000_000), pytest.raises(DataError, match=r"own\.npz cannot be read"):
        load(str(path), "train")
    with pytest.raises(DataError, match=r"own\.npz"):
        load_table(str(path), "test")


DESCRIPTIONS = ["|u1", "<f8", ">i4", "<U7", "|O", "|V99999999", "<M8[s]"]


@st.composite
def members(draw: st.DrawFn) -> tuple[bytes, bytes | None]:
    """A member, and its rows if they are as long as its header says: then it is an array."""
    version = draw(st.sampled_from([1, 2]))
    if draw(st.booleans()):
        shape = tuple(draw(st.lists(st.integers(-5, 2**40), max_size=4)))
        rows = draw(st.binary(max_size=64))
        return member(shape, draw(st.sampled_from(DESCRIPTIONS)), rows=rows, version=version), None
    shape = tuple(draw(st.lists(st.integers(0, 5), max_size=3)))
    descr = draw(st.sampled_from(["|u1", "<f8", "<i2", "|b1"]))
    size = math.prod(shape) * np.dtype(descr).itemsize
    rows = draw(st.binary(min_size=size, max_size=size))
    return member(shape, descr, rows=rows, version=version), rows


@settings(max_examples=100)
@given(members())
def test_any_header_is_read_or_refused_within_the_limit(
    tmp_path: Path, made: tuple[bytes, bytes | None]
) -> None:
    content, rows = made
    path = archive(tmp_path / "any.npz", content)
    with at_most(3_000_000), nullcontext() if rows is not None else suppress(DataError):
        found = read_npz(path)
        assert rows is None or found["inputs"].tobytes() == rows


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = member((50_000_000,), rows=bytes(50_000_000))
    path = archive(tmp_path / "own.npz", rows)
    assert path.stat().st_size < 60_000
    monkeypatch.setattr(file_limits, "free_memory", lambda: 60_000_000)
    with pytest.raises(DataError, match=r"needs 0\.0 GiB of memory"):
        load(str(path), "train")
    monkeypatch.undo()
    monkeypatch.setattr("clonecost.data.npz.SMALL", 1_000_000)
    with pytest.raises(DataError, match=r"grows from .* to 50,000,000 bytes, more than 200 times"):
        load(str(path), "train")


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    for name in ("own.npz", "own.csv"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(DataError, match="is a pipe"):
            load_table(str(tmp_path / name), "test")
    with pytest.raises(DataError, match="is a pipe"):
        load(str(tmp_path / "own.npz"), "test")


def test_a_damaged_archive_is_one_sentence(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.savez_compressed(stream, inputs=np.arange(4_000).reshape(1, 1, 40, 100) % 251)
    whole = stream.getvalue()
    rng = np.random.default_rng(0)
    for _ in range(150):
        broken = bytearray(whole)
        for place in rng.integers(0, len(whole), rng.integers(1, 4)):
            broken[place] = rng.integers(256)
        (tmp_path / "own.npz").write_bytes(broken[: rng.integers(1, len(whole) + 1)])
        try:
            read_npz(tmp_path / "own.npz")
        except DataError:
            continue
