from pathlib import Path

import numpy as np
import pytest
from tests.support.data_files import cifar_records, pixels, write_tar

from clonecost.data.cifar import CIFAR10, CIFAR100
from clonecost.errors import DataError

IMAGES, LABELS = pixels(10, 3, 32, 32), np.arange(10)


def test_cifar10_is_read_alike_from_folder_and_archive(tmp_path: Path) -> None:
    parts = {
        f"data_batch_{i + 1}.bin": cifar_records(IMAGES[2 * i :][:2], LABELS[2 * i :][:2])
        for i in range(5)
    }
    members = {f"cifar-10-batches-bin/{name}": parts[name] for name in reversed(parts)}
    write_tar(tmp_path / CIFAR10.archive, members)
    [archive] = CIFAR10.find(tmp_path, "train")
    packed = CIFAR10.read([archive], "train")
    for name, content in parts.items():
        (tmp_path / name).write_bytes(content)
    unpacked = CIFAR10.read(CIFAR10.find(tmp_path, "train"), "train")
    for data in (packed, unpacked):
        assert (data.inputs.numpy() == IMAGES).all()
        assert data.inputs.is_contiguous()
        assert data.labels.tolist() == list(range(10))


def test_cifar100_takes_the_fine_label(tmp_path: Path) -> None:
    (tmp_path / "test.bin").write_bytes(cifar_records(IMAGES, LABELS + 5, LABELS + 90))
    data = CIFAR100.read(CIFAR100.find(tmp_path, "test"), "test")
    assert data.labels.tolist() == list(range(90, 100))
    assert (data.inputs.numpy() == IMAGES).all()


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    path, archive = tmp_path / "test_batch.bin", tmp_path / CIFAR10.archive
    for content in (cifar_records(IMAGES, LABELS)[:-1], b""):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"test_batch\.bin holds .* not records of 3,073"):
            CIFAR10.read([path], "test")

    write_tar(archive, {"cifar-10-batches-bin/data_batch_1.bin": pixels(3073).tobytes()})
    with pytest.raises(DataError, match=r"tar\.gz lacks test_batch\.bin"):
        CIFAR10.read([archive], "test")
    archive.write_bytes(archive.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"tar\.gz cannot be unpacked"):
        CIFAR10.read([archive], "test")
