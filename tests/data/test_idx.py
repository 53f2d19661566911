import gzip
from pathlib import Path

import numpy as np
import pytest
from tests.support.data_files import idx_bytes, pixels, write_idx

from clonecost.data import idx
from clonecost.errors import DataError


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "train-images.idx3-ubyte"])
def test_plain_and_gzipped_files_hold_the_same(name: str, tmp_path: Path) -> None:
    images, labels = pixels(7, 28, 28), np.arange(7)
    write_idx(tmp_path, "train", images, labels)
    (tmp_path / name).write_bytes(idx_bytes(images))
    zipped = idx.read_idx(tmp_path / "train-images-idx3-ubyte.gz")
    assert (zipped.numpy() == images).all()
    paths = idx.find(tmp_path, "train")
    assert paths[0].name == name  # the unpacked one is faster
    data = idx.read(paths, "train")
    assert (data.inputs.numpy() == images[:, None]).all()
    assert data.labels.tolist() == list(range(7))
    assert idx.find(tmp_path, "test") == []


GOOD = idx_bytes(pixels(3, 4, 4))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (gzip.compress(GOOD)[:-12], "cannot be read"),
        (b"not gzip at all", "cannot be read"),
        (gzip.compress(GOOD[:-1]), "47 bytes of data where its header states 48"),
        (gzip.compress(GOOD + b"x"), "more than 48 bytes of data where its header states 48"),
        (gzip.compress(b"PK\3\4" + GOOD), "not an idx file"),
        (gzip.compress(GOOD[:7]), "truncated within its header"),
        (gzip.compress(b""), "not an idx file"),
    ],
    ids=[
        "truncated",
        "no gzip",
        "short",
        "long",
        "other",
        "headless",
        "empty",
    ],  # bytes carry the time
)
def test_a_broken_file_is_named(content: bytes, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=complaint) as caught:
        idx.read_idx(path)
    assert str(path) in str(caught.value)


def test_images_without_their_labels_are_refused(tmp_path: Path) -> None:
    write_idx(tmp_path, "train", pixels(3, 4, 4), np.arange(2))
    with pytest.raises(DataError, match="not images and their labels"):
        idx.read(idx.find(tmp_path, "train"), "train")
