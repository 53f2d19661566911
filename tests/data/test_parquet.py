import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.support.data_files import alone, pixels, png

from clonecost.data import parquet
from clonecost.errors import DataError
from clonecost.types import no_progress

pa = pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
pq = pytest.importorskip("pyarrow.parquet")

IMAGES = pixels(6, 3, 8, 8)
SHAPE = (3, 8, 8)


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    return alone(monkeypatch, tmp_path)


def write(path: Path, images: list[bytes], image: str = "img", label: str = "label") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"bytes": content, "path": "a.png"} for content in images]
    pq.write_table(pa.table({image: rows, label: list(range(len(rows)))}), path)
    return path


def test_shards_are_read_in_order_and_then_from_the_copy(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 0):
        path = tmp_path / "plain_text" / f"train-0000{number}-of-00002.parquet"
        write(path, [png(image) for image in IMAGES[3 * number :][:3]])
    paths = parquet.find(tmp_path, "train")
    assert parquet.find(tmp_path, "test") == []

    seen: list[tuple[str, int, int]] = []
    first = parquet.read(paths, SHAPE, lambda *report: seen.append(report))
    assert (first.inputs.numpy() == IMAGES).all()
    assert first.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert [report[1:] for report in seen] == [(3, 3), (3, 3)]

    monkeypatch.setattr("PIL.Image.open", lambda *_: pytest.fail("decoded twice"))
    again = parquet.read(paths, SHAPE, no_progress)
    assert torch.equal(again.inputs, first.inputs)
    assert torch.equal(again.labels, first.labels)


def test_a_changed_file_is_decoded_anew(tmp_path: Path) -> None:
    path = tmp_path / "test.parquet"
    for image in IMAGES:
        write(path, [png(image)])
        read = parquet.read([path], SHAPE, no_progress)
        assert (read.inputs.numpy() == image).all()


def test_a_useless_cache_costs_only_time(tmp_path: Path, cache: Path) -> None:
    path = write(tmp_path / "train.parquet", [png(image) for image in IMAGES])
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where the folder should be")  # as root, no folder is read-only
    assert len(parquet.read([path], SHAPE, no_progress)) == 6

    cache.unlink()
    parquet.read([path], SHAPE, no_progress)
    [copy] = (cache / "decoded").iterdir()
    copy.write_bytes(copy.read_bytes()[:-5])
    assert (parquet.read([path], SHAPE, no_progress).inputs.numpy() == IMAGES).all()


def test_a_full_disk_leaves_nothing_behind(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(tensors: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parquet, "save_file", full)
    path = write(tmp_path / "train.parquet", [png(image) for image in IMAGES])
    assert len(parquet.read([path], SHAPE, no_progress)) == 6
    assert list((cache / "decoded").iterdir()) == []


def test_fine_labels_come_first(tmp_path: Path) -> None:
    rows = [{"bytes": png(image), "path": None} for image in IMAGES]
    path = tmp_path / "train.parquet"
    columns = {"image": rows, "label": [0] * 6, "fine_label": [9] * 6}
    pq.write_table(pa.table(columns), path)
    assert parquet.read([path], SHAPE, no_progress).labels.tolist() == [9] * 6


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    def complaint(path: Path) -> str:
        with pytest.raises(DataError) as caught:
            parquet.read([path], SHAPE, no_progress)
        assert path.name in str(caught.value)
        return str(caught.value)

    good = [png(image) for image in IMAGES]
    path = tmp_path / "train.parquet"
    assert "cannot be decoded" in complaint(write(path, [*good, b"no image"]))
    assert "cannot be decoded" in complaint(write(path, [*good, good[0][:-60]]))
    assert "4x4 pixels" in complaint(write(path, [png(pixels(3, 4, 4))]))
    assert "has the columns" in complaint(write(path, good, image="picture"))
    rows = [{"bytes": good[0], "path": None}]
    for label in (None, "cat"):
        pq.write_table(pa.table({"img": rows, "label": [label]}), path)
        assert "cannot be read" in complaint(path)
    write(path, good)
    path.write_bytes(path.read_bytes()[:-100])
    assert "cannot be read" in complaint(path)
    path.write_bytes(b"")
    assert "cannot be read" in complaint(path)
    assert "1 shards of 3" in complaint(write(tmp_path / "train-00000-of-00003.parquet", good))


def test_missing_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "train.parquet", [png(image) for image in IMAGES])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"pip install 'clonecost\[parquet\]'"):
        parquet.read([path], SHAPE, no_progress)


def test_grey_images_have_one_channel(tmp_path: Path) -> None:
    image = pixels(1, 5, 6)
    read = parquet.read([write(tmp_path / "t.parquet", [png(image)])], (1, 5, 6), no_progress)
    assert np.array_equal(read.inputs.numpy()[0], image)
