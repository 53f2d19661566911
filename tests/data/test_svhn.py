from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat
from tests.support.data_files import pixels

from clonecost.data import svhn
from clonecost.errors import DataError


def test_label_10_is_the_digit_0(tmp_path: Path) -> None:
    images = pixels(4, 3, 32, 32)
    labels = np.array([[10], [1], [9], [10]], np.uint8)
    path = tmp_path / "train_32x32.mat"
    savemat(path, {"X": images.transpose(2, 3, 1, 0), "y": labels}, do_compression=True)
    data = svhn.read(svhn.find(tmp_path, "train"), "train")
    assert data.labels.tolist() == [0, 1, 9, 0]
    assert (data.inputs.numpy() == images).all()

    for broken in (path.read_bytes()[:-500], b"nonsense" * 100, b""):
        path.write_bytes(broken)
        with pytest.raises(DataError, match=r"train_32x32\.mat cannot be read"):
            svhn.read([path], "train")
    savemat(path, {"X": images})
    with pytest.raises(DataError, match=r"train_32x32\.mat lacks images X"):
        svhn.read([path], "train")
