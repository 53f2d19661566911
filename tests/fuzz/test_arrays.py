"""Files of arrays: .npz, idx, .safetensors, CIFAR's and SVHN's. Any bytes, and altered ones."""

import gzip
import io
import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save
from scipy.io import savemat
from tests.support.data_files import cifar_records, idx_bytes, pixels, write_tar
from tests.support.fuzzing import as_json, broken, fuzz, holds_its_promise, json_bytes

from clonecost.data import cifar, idx, svhn, user_files
from clonecost.data.tables import load_table
from clonecost.errors import CloneCostError
from clonecost.types import no_progress

IMAGES, LABELS = pixels(6, 1, 8, 8), np.arange(6) % 3


def npz(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def zipped(member: bytes, name: str) -> bytes:
    """With a right checksum, so that the array itself is read."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("labels.npy", array_bytes(LABELS))
        file.writestr(name, member)
    return stream.getvalue()


def array_bytes(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def mat() -> bytes:
    stream = io.BytesIO()
    savemat(stream, {"X": pixels(32, 32, 3, 4), "y": np.array([[1], [2], [10], [4]])})
    return stream.getvalue()


WHOLE = npz(inputs=IMAGES, labels=LABELS, classes=np.array(["a", "b", "c"]))
MEMBERS = broken(array_bytes(IMAGES), array_bytes(np.eye(4)), array_bytes(np.array(["a", "b"])))
NAMES = st.sampled_from(["inputs.npy", "classes.npy", "x.npy", "low.npy", "features.npy"])


@fuzz
@given(broken(WHOLE) | st.builds(zipped, MEMBERS, NAMES))
def test_npz(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "own.npz"
    path.write_bytes(content)
    holds_its_promise(lambda: user_files.read(path, "test", None, no_progress))
    holds_its_promise(lambda: load_table(str(path), "test"))


@fuzz
@given(broken(idx_bytes(IMAGES[:, 0]), idx_bytes(LABELS)), st.booleans())
def test_idx(tmp_path: Path, content: bytes, packed: bool) -> None:
    path = tmp_path / ("any.gz" if packed else "any")
    path.write_bytes(gzip.compress(content) if packed else content)
    holds_its_promise(lambda: idx.read_idx(path))


@fuzz
@given(broken(gzip.compress(idx_bytes(IMAGES[:, 0]))))
def test_damaged_gzip(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "any.gz"
    path.write_bytes(content)
    holds_its_promise(lambda: idx.read_idx(path))


TENSORS = {"inputs": IMAGES, "labels": LABELS}
SAVED = save(TENSORS)
(LENGTH,) = struct.unpack("<Q", SAVED[:8])
HEADER = json.loads(SAVED[8 : 8 + LENGTH])


def with_header(header: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header + SAVED[8 + LENGTH :]


@fuzz
@given(broken(SAVED) | json_bytes(HEADER).map(with_header))
def test_safetensors(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "own.safetensors"
    path.write_bytes(content)
    holds_its_promise(lambda: user_files.read(path, "test", None, no_progress))


@fuzz
@given(broken(mat()))
def test_svhn(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "test_32x32.mat"
    path.write_bytes(content)
    holds_its_promise(lambda: svhn.read([path], "test"))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("cifar") / "whole.tar.gz"
    records = cifar_records(pixels(4, 3, 32, 32), np.arange(4))
    write_tar(path, {"cifar-10-batches-bin/test_batch.bin": records})
    return path.read_bytes()


@fuzz
@given(data=st.data(), packed=st.booleans())
def test_cifar(tmp_path: Path, archive: bytes, data: st.DataObject, packed: bool) -> None:
    path = tmp_path / cifar.CIFAR10.archive
    content = data.draw(broken(archive if packed else gzip.decompress(archive)))
    path.write_bytes(content if packed else gzip.compress(content))
    holds_its_promise(lambda: cifar.CIFAR10.read([path], "test"))


def test_the_seeds_are_accepted(tmp_path: Path, archive: bytes) -> None:
    def file(name: str, content: bytes) -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    for name, content in (("own.npz", WHOLE), ("own.safetensors", SAVED)):
        assert len(user_files.read(file(name, content), "test", None, no_progress).inputs) == 6
    again = file("again.safetensors", with_header(as_json(HEADER)))
    assert user_files.read(again, "test", None, no_progress).labels.tolist() == LABELS.tolist()
    features = npz(x=np.eye(6), labels=LABELS)
    assert len(load_table(str(file("table.npz", features)), "test").inputs) == 6
    for content in (idx_bytes(IMAGES[:, 0]), gzip.compress(idx_bytes(LABELS))):
        name = "any.gz" if content[:2] == b"\x1f\x8b" else "any"
        assert len(idx.read_idx(file(name, content))) == 6
    assert len(svhn.read([file("test_32x32.mat", mat())], "test").inputs) == 4
    assert len(cifar.CIFAR10.read([file(cifar.CIFAR10.archive, archive)], "test").inputs) == 4


def test_the_promise_is_tested() -> None:
    with pytest.raises(AssertionError, match="bytes"):
        holds_its_promise(lambda: b"x" * 300_000_000)
    with pytest.raises(AssertionError, match="9,000"):
        holds_its_promise(lambda: refuse("a" * 9_000))
    with pytest.raises(ZeroDivisionError):
        holds_its_promise(lambda: 1 // 0)
    assert as_json(holds_its_promise(lambda: 3)) == b"3"


def refuse(sentence: str) -> None:
    raise CloneCostError(sentence)
