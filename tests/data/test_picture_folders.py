import os
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.support.data_files import png
from tests.support.memory import at_most

from clonecost.data import load
from clonecost.data.class_names import renumbered
from clonecost.errors import DataError
from clonecost.persistence import file_limits

LEFT = ("__MACOSX", ".DS_Store", ".git", "Thumbs.db", "desktop.ini", "@eaDir")


def picture(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(np.full((1, 2, 2), value, np.uint8)))


def test_a_missing_class_folder_shifts_no_label(cases: Path) -> None:
    data = load(str(cases / "missing_class"), "test")
    folders = sorted(path.name for path in (cases / "missing_class").iterdir())
    assert folders == list("012356789")
    assert sorted(set(data.labels.tolist())) == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    weights = np.load(cases / "weights.npz")
    scores = data.rows(slice(None)).flatten(1) @ torch.from_numpy(weights["weights"]).T
    right = (scores + torch.from_numpy(weights["bias"])).argmax(1) == data.labels
    assert right.float().mean() > 0.85  # 48 % if the labels above 4 were one too low


def test_numeric_folders_are_indices(cases: Path) -> None:
    data = load(str(cases / "numeric"), "test")
    assert sorted(set(data.labels.tolist())) == [0, 1, 2, 10]
    assert data.classes[10] == "10"


# A name of a folder, and whether pictures are in it.
trees = st.dictionaries(
    st.one_of(
        st.sampled_from(LEFT[:3]), st.text("abCé", min_size=1, max_size=3),
        st.integers(0, 12).map(str),
    ),
    st.booleans(), min_size=1, max_size=7,
)  # fmt: skip


@settings(max_examples=60)
@given(tree=trees)
def test_any_tree_has_the_victims_numbers_or_is_refused(
    tree: dict[str, bool], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("tree")
    names = sorted(tree, key=lambda name: (len(name), name))  # some other order than sorted
    visible = [name for name in names if name not in LEFT]
    victim = [*[name for name in visible if not name.isdigit()], *map(str, range(13))]
    full = [name for name in visible if tree[name]]
    for value, name in enumerate(names):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "._x.png").write_bytes(b"left by a Mac")
        (folder / name / "Thumbs.db").write_bytes(b"left by a PC")
        if tree[name]:
            picture(folder / name / "1.png", value)
    if not full:
        with pytest.raises(DataError, match="holds no images"):
            load(str(folder), "test")
        return
    data = renumbered(load(str(folder), "test"), victim)
    for pixels, label in zip(data.inputs, data.labels.tolist(), strict=True):
        assert victim[label] == names[int(pixels[0, 0, 0])]
    assert len(data) == len(full)


def test_names_of_train_number_the_classes_of_test(tmp_path: Path) -> None:
    for name in ("train/cat/1.png", "train/cow/1.png", "train/dog/1.png", "test/dog/1.png"):
        picture(tmp_path / name, 0)
    assert load(str(tmp_path), "test").labels.tolist() == [2]
    picture(tmp_path / "test" / "ape" / "1.png", 0)
    with pytest.raises(DataError, match="The classes there are cat, cow, dog"):
        load(str(tmp_path), "test")


@pytest.mark.parametrize(("extra", "complaint"), [
    ("1.png", "beside its class folders, such as 1.png"),
    ("cat/more/1.png", "more holds pictures deeper"),
    ("cat/2.heic", "2.heic is a picture in a format that is not read here"),
])  # fmt: skip
def test_pictures_that_would_be_left_out_are_refused(
    extra: str, complaint: str, tmp_path: Path
) -> None:
    picture(tmp_path / "cat" / "1.png", 0)
    picture(tmp_path / extra, 0)
    with pytest.raises(DataError, match=complaint):
        load(str(tmp_path), "test")


def test_special_files_are_refused_and_never_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    os.mkfifo("pipe.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.png")
        Path("device.png").symlink_to("/dev/zero")
        for name, kind in (("pipe", "a pipe"), ("socket", "a socket"), ("device", "a device")):
            with pytest.raises(DataError, match=f"{name}.png is {kind}, not a regular file"):
                load(f"./{name}.png", "test")
            folder = Path(name)
            folder.mkdir()
            (folder / "1.png").symlink_to(tmp_path / f"{name}.png")
            with pytest.raises(DataError, match=f"1.png is {kind}"):
                load(f"./{name}", "test")


def test_more_than_the_memory_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(9):
        Image.new("RGB", (400, 300)).save(tmp_path / f"{number}.png")
    monkeypatch.setattr(file_limits, "free_memory", lambda: 2_000_000)
    with pytest.raises(DataError, match=r"9 pictures of 400 x 300 pixels needs 0.0 GiB.*input_sha"):
        load(str(tmp_path), "train")
    assert load(str(tmp_path), "train", shape=(3, 8, 8)).shape == (3, 8, 8)


def test_memory_holds_the_fitted_pictures_only(tmp_path: Path) -> None:
    for number in range(30):
        Image.new("L", (500, 500)).save(tmp_path / f"{number}.png")
    load(str(tmp_path), "train", shape=(1, 4, 4))  # imports
    with at_most(3 * 500 * 500):
        load(str(tmp_path), "train", shape=(1, 4, 4))


def test_every_folder_is_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("train/cat/1.png", "train/dog/1.png", "test/dog/1.png", "test/cat/1.png"):
        picture(tmp_path / name, 0)
    listed, real = list[str](), os.scandir

    def scandir(folder: Path) -> Any:
        listed.append(str(folder))
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    for split, folders in (("train", 3), ("test", 6)):
        listed.clear()
        load(str(tmp_path), split)  # type: ignore[arg-type]
        assert len(listed) == len(set(listed)) == folders


def test_colour_after_grey_must_fit_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(9):
        Image.new("L" if number < 8 else "RGB", (400, 300)).save(tmp_path / f"{number}.png")
    monkeypatch.setattr(file_limits, "free_memory", lambda: 2_000_000)
    with pytest.raises(DataError, match="9 pictures of 400 x 300 pixels needs"):
        load(str(tmp_path), "train")
