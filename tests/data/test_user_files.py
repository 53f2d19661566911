import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from tests.support.data_files import pixels, png

from clonecost.data import load
from clonecost.errors import DataError, SpecError

IMAGES = pixels(6, 3, 8, 9)


@pytest.mark.parametrize(
    "arrays",
    [
        {"inputs": IMAGES, "labels": np.arange(6)},
        {"images": IMAGES.transpose(0, 2, 3, 1), "y": np.arange(6, dtype=np.uint8)},
        {"x": (IMAGES / 255).astype(np.float32), "labels": np.arange(6)[:, None]},
        {"x": (IMAGES / 255).astype(">f8"), "labels": np.arange(6).astype(">i2")},
    ],
)
def test_an_npz_is_read_alike_in_every_layout(arrays: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    np.savez_compressed(path, **arrays)
    for split in ("train", "test"):
        data = load(str(path), split)
        assert (data.inputs.numpy() == IMAGES).all()
        assert data.inputs.dtype == torch.uint8
        assert data.labels.dtype == torch.int64
        assert data.labels.tolist() == list(range(6))
        assert data.name == str(path)


def test_safetensors_without_labels_is_a_proxy(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    save_file({"images": torch.from_numpy(IMAGES[:, 0].copy())}, path)
    data = load(str(path), "train", shape=(3, 4, 4))
    assert data.labels.tolist() == [-1] * 6
    assert data.shape == (3, 4, 4)


def test_classes_named_in_an_npz_can_be_selected(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    labels, classes = np.array([0, 1, 2, 2, 1, -1]), np.array(["cat", "dog", "Big Bird"])
    np.savez(path, inputs=IMAGES, labels=labels, classes=classes)
    data = load(f"{path}:big_bird,cat", "train")
    assert data.classes == ("Big Bird", "cat")
    assert data.labels.tolist() == [1, 0, 0]
    assert (data.inputs.numpy() == IMAGES[[0, 2, 3]]).all()
    with pytest.raises(SpecError, match="did you mean 'dog'"):
        load(f"{path}:dogs", "train")


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (pytest.fail, ("a pickle was opened",))


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside.npz", tmp_path / "outside.npz"
    np.savez(inside, inputs=np.array([Bomb()], dtype=object))
    outside.write_bytes(pickle.dumps(Bomb()))
    for path in (inside, outside):
        with pytest.raises(DataError, match=f"{path.name} cannot be read"):
            load(str(path), "train")


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"pixels": IMAGES}, "no array called inputs, images, x"),
        ({"x": IMAGES.astype(np.int32)}, "want uint8, or float"),
        ({"x": IMAGES.astype(np.float32)}, r"float inputs in \[0, 255\]\. Scale them"),
        ({"x": np.full((1, 1, 2, 2), np.nan)}, "float inputs in"),
        ({"x": pixels(4, 8)}, "want .n, C, H, W."),
        ({"x": pixels(4, 5, 8, 8)}, "with 1 or 3 channels"),
        ({"x": IMAGES, "y": np.arange(5)}, "want 6 integers"),
        ({"x": IMAGES, "y": np.arange(6) / 2}, "want 6 integers"),
        ({"x": IMAGES, "y": np.arange(6), "classes": np.array(["a"])}, "label 5 and 1 classes"),
    ],
)
def test_unusable_arrays_are_refused_in_one_sentence(
    arrays: dict[str, Any], complaint: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "own.npz", **arrays)
    with pytest.raises(DataError, match=complaint):
        load(str(tmp_path / "own.npz"), "train")


def test_missing_broken_and_foreign_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file or folder"):
        load(str(tmp_path / "none.npz"), "train")
    for name in ("own.npz", "own.safetensors", "own.csv"):
        (tmp_path / name).write_bytes(b"1,2,3")
        with pytest.raises(DataError, match=name):
            load(str(tmp_path / name), "train")


def folder(path: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(png(IMAGES[number]))
    return path


def test_subfolders_are_classes(tmp_path: Path) -> None:
    own = folder(tmp_path / "own", "dog/b.png", "cat/z.png", "cat/a.PNG", ".hidden/x.png")
    (own / "cat" / "notes.txt").write_text("not an image")
    data = load(str(own), "test")
    assert data.classes == ("cat", "dog")
    assert data.labels.tolist() == [0, 0, 1]
    assert (data.inputs.numpy() == IMAGES[[2, 1, 0]]).all()
    assert load(f"{own}:dog", "test").labels.tolist() == [0]


def test_train_and_test_are_splits_only_together(tmp_path: Path) -> None:
    own = folder(tmp_path / "own", "train/cat/1.png", "train/cat/2.png", "test/cat/3.png")
    assert len(load(str(own), "train")) == 2
    assert len(load(str(own), "test")) == 1
    railway = folder(tmp_path / "railway", "train/1.png", "tram/2.png")
    assert load(str(railway), "test").classes == ("train", "tram")


def test_images_without_subfolders_have_no_labels(tmp_path: Path) -> None:
    data = load(str(folder(tmp_path / "own", "1.png", "2.png")), "train")
    assert (data.labels.tolist(), data.classes) == ([-1, -1], ())


def test_sizes_and_modes_may_differ_when_a_shape_is_named(tmp_path: Path) -> None:
    own = folder(tmp_path / "own", "1.png")
    grey = Image.fromarray(pixels(4, 4))
    grey.save(own / "2.png")
    with pytest.raises(DataError, match=r"different sizes\. Set `input_shape`"):
        load(str(own), "train")
    assert load(str(own), "train", shape=(1, 6, 6)).inputs.shape == (2, 1, 6, 6)
    grey.resize((9, 8)).save(own / "2.png")
    assert load(str(own), "train").shape == (3, 8, 9)
    (own / "1.png").unlink()
    assert load(str(own), "train").shape == (1, 8, 9)


def test_a_broken_image_and_an_empty_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no images"):
        load(str(tmp_path), "train")
    (tmp_path / "bad.jpg").write_bytes(b"nonsense")
    with pytest.raises(DataError, match=r"bad\.jpg cannot be decoded"):
        load(str(tmp_path), "train")


def test_a_label_beyond_int64_is_no_missing_label(tmp_path: Path) -> None:
    labels = np.array([0, 2**64 - 1], np.uint64)
    np.savez(tmp_path / "own.npz", x=np.zeros((2, 1, 4, 4), np.uint8), y=labels)
    with pytest.raises(DataError, match=f"has the label {2**64 - 1} in row 2"):
        load(str(tmp_path / "own.npz"), "test")


def test_a_label_below_minus_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "OWN.NPZ"
    with path.open("wb") as file:
        np.savez(file, x=IMAGES, y=np.array([0, 1, -2, 1, -1, 0]))
    with pytest.raises(DataError, match=r"has the label -2.*or -1 for no label"):
        load(str(path), "test")
