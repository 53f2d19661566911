"""Pictures by their places: in folders of any depth, and in TAR files."""

import gzip
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from clonecost.data.encoded_pictures import in_folder, in_tars, only
from clonecost.errors import DataError


def tar_of(path: Path, members: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


def files_in(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def test_a_folder_of_any_depth_is_sorted_and_names_no_classes(tmp_path: Path) -> None:
    files_in(tmp_path, "b/c/2.JPG", "a.png", "b/1.webp", "b/note.txt", ".hidden/3.png",
             "b/.4.png", "__MACOSX/5.png")  # fmt: skip
    (tmp_path / "b" / "again").symlink_to(tmp_path)  # a circle
    found = in_folder(tmp_path)
    assert [found.name(place) for place in range(len(found))] == ["a.png", "b/1.webp", "b/c/2.JPG"]
    assert [found.read(place) for place in (2, 0)] == [b"b/c/2.JPG", b"a.png"]
    assert (found.classes, set(found.labels.tolist())) == ((), {-1})


def test_folders_of_classes_are_labels_and_can_be_chosen(tmp_path: Path) -> None:
    files_in(tmp_path, "dog/1.png", "cat/1.png", "cat/2.png", "emu/1.png")
    found = in_folder(tmp_path)
    assert (found.classes, found.labels.tolist()) == (("cat", "dog", "emu"), [0, 0, 1, 2])
    some = only(found, ("emu", "cat"))
    assert (some.classes, some.labels.tolist()) == (("emu", "cat"), [1, 1, 0])
    assert [some.name(place) for place in range(3)] == ["cat/1.png", "cat/2.png", "emu/1.png"]
    assert some.read(2) == b"emu/1.png"
    assert list(some.facts()) != list(only(found, ("cat", "emu")).facts())


def test_members_of_tars_are_read_from_their_places(tmp_path: Path) -> None:
    members = {
        "x/7.jpg": b"seven", "x/7.cls": b"4", "x/8.jpg": b"eight", "x/8.cls": b"0",
        "x/8.json": b"{}", "._9.jpg": b"-",
    }  # fmt: skip
    one = tar_of(tmp_path / "1.tar", members)
    two = tar_of(tmp_path / "2.tar", {"9.cls": b"1", "9.png": b"nine"})
    found = in_tars([one, two])
    assert [found.name(k) for k in range(3)] == ["1.tar/x/7.jpg", "1.tar/x/8.jpg", "2.tar/9.png"]
    assert [found.read(place) for place in (2, 0, 1)] == [b"nine", b"seven", b"eight"]
    assert found.labels.tolist() == [4, 0, 1]
    without = tar_of(tmp_path / "3.tar", {"9.png": b"nine"})
    assert set(in_tars([one, without]).labels.tolist()) == {-1}


def test_facts_tell_pools_apart_without_reading_pictures(tmp_path: Path) -> None:
    kinds = {}
    for kind, name, content in (
        ("a", "1.png", b"one"),
        ("b", "2.png", b"one"),
        ("c", "1.png", b""),
    ):
        files_in(tmp_path / kind, name)
        (tmp_path / kind / name).write_bytes(content)
        kinds[kind] = list(in_folder(tmp_path / kind).facts())
    assert len({str(facts) for facts in kinds.values()}) == 3


def test_what_is_no_pool_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty holds no images \(\.png"):
        in_folder(tmp_path / "empty")
    packed = tmp_path / "packed.tar"
    packed.write_bytes(gzip.compress(tar_of(tmp_path / "1.tar", {"1.png": b"one"}).read_bytes()))
    with pytest.raises(DataError, match=r"packed\.tar is compressed \(gzip\), and .* Unpack it"):
        in_tars([packed])
    with pytest.raises(DataError, match=r"no\.tar holds no images"):
        in_tars([tar_of(tmp_path / "no.tar", {"a.txt": b"-"})])
    (tmp_path / "noise.tar").write_bytes(b"noise" * 300)
    with pytest.raises(DataError, match=r"noise\.tar cannot be read"):
        in_tars([tmp_path / "noise.tar"])
    cut = in_tars([tar_of(tmp_path / "cut.tar", {"1.png": b"one" * 500})])
    (tmp_path / "cut.tar").write_bytes((tmp_path / "cut.tar").read_bytes()[:600])
    with pytest.raises(DataError, match=r"cut\.tar is truncated"):
        cut.read(0)
