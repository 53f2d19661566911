import json
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clonecost.data.class_names import (
    must_be_all,
    numbered_folders,
    plain,
    read_class_names,
    renumbered,
)
from clonecost.errors import DataError, SpecError
from clonecost.types import LabelledInputs

words = st.text("abcxyzäö _-", min_size=1, max_size=5).filter(str.strip)
digits = st.integers(0, 30).map(str)


def labelled(classes: tuple[str, ...], labels: list[int]) -> LabelledInputs:
    return LabelledInputs(torch.zeros(len(labels), 1, 1, 1), torch.tensor(labels), classes, "mine")


@pytest.mark.parametrize("content", [
    "cat\nwild dog\n", '["cat", "wild dog"]', '{"1": "wild dog", "0": "cat"}',
    '{"wild dog": 1, "cat": 0}', '{"model": {"x": 1}, "id2label": {"0": "cat", "1": "wild dog"}}',
    "\ufeffcat\r\nwild dog\r\n\r\n", " cat \nwild dog",
])  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_names_are_one_a_line_or_a_list(content: str, encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text(content.removeprefix("\ufeff") if encoding == "utf-16" else content, encoding)
    assert read_class_names(path) == ("cat", "wild dog")


@pytest.mark.parametrize(("content", "complaint"), [
    (b"", "no list of class names"), (b"cat", "no list"), (b"cat\n\ndog", "no list"),
    (b"cat\ndog\ncat", "has 'cat' twice"), (b"\xff\xfb\x00", "no text"), (b"[1.5, 2]", "no list"),
    (b'[["cat"], "dog"]', "no list"), (b'{"0": "cat", "1": ["dog"]}', "no list"),
    (b'{"0": "cat", "2": "dog"}', "names the class '2'"), (b"{", "no list"),
    (b'{"0": "cat", "0": "dog"}', "names the class '0'"), (b'{"0": 1, "1": 0}', "no list"),
])  # fmt: skip
def test_what_is_no_list_of_names_is_refused(
    content: bytes, complaint: str, tmp_path: Path
) -> None:
    path = tmp_path / "names.txt"
    path.write_bytes(content)
    with pytest.raises(SpecError, match=complaint):
        read_class_names(path)
    with pytest.raises(SpecError, match="no file"):
        read_class_names(tmp_path / "none.txt")


@given(
    st.lists(st.text(min_size=1).filter(str.strip), min_size=2, unique_by=str.strip), st.randoms()
)
def test_an_object_names_by_number_in_any_order(names: list[str], rng: Random) -> None:
    numbered = list(enumerate(name.strip() for name in names))
    rng.shuffle(numbered)
    with TemporaryDirectory() as folder:
        path = Path(folder, "names.json")
        path.write_text(json.dumps({str(number): name for number, name in numbered}), "utf-8")
        assert read_class_names(path) == tuple(name.strip() for name in names)


def test_numbers_are_indices_and_not_text() -> None:
    labels, classes = numbered_folders(["10", "0", "2", "1"], "mine")
    assert labels == {"0": 0, "1": 1, "2": 2, "10": 10}
    assert (len(classes), classes[10]) == (11, "10")
    for wrong in (["1", "01"], ["0", "9" * 5_000], ["0", "200000"]):
        with pytest.raises(DataError, match="class folder"):
            numbered_folders(wrong, "mine")


@settings(max_examples=300)
@given(data=st.data(), names=st.lists(words, min_size=2, max_size=8, unique=True))
def test_a_class_keeps_its_number_or_both_lists_are_named(
    data: st.DataObject, names: list[str]
) -> None:
    """Folders that are some of the victim's classes, some with a stranger among them."""
    some = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    stranger = data.draw(st.none() | words)
    folders = [*some, *([stranger] if stranger and stranger not in some else [])]
    _, classes = numbered_folders(folders, "mine")
    mine = labelled(classes, list(range(len(classes))))
    try:
        found = renumbered(mine, names)
    except DataError as error:
        assert stranger in folders
        said = str(error)
        assert all(name in said for name in names), said
        assert stranger is not None
        assert stranger in said
        return
    for name, label in zip(classes, found.labels.tolist(), strict=True):
        assert plain(names[label]) == plain(name)
        assert name not in names or names[label] == name
    assert found.classes == tuple(names)


@settings(max_examples=100)
@given(some=st.lists(digits, min_size=1, unique=True), k=st.integers(2, 40))
def test_folders_that_are_numbers_keep_them(some: list[str], k: int) -> None:
    labels, classes = numbered_folders(some, "mine")
    assert labels == {name: int(name) for name in some}
    mine = labelled(classes, [labels[name] for name in some])
    for names in ([str(number) for number in range(k)], [f"class {i}" for i in range(k)]):
        if max(labels.values()) < k:
            assert renumbered(mine, names).labels.tolist() == [int(name) for name in some]
        else:
            with pytest.raises(DataError, match="does not have"):
                renumbered(mine, names)


def test_rows_without_labels_stay_so() -> None:
    assert renumbered(labelled((), [-1, 2]), "abc").labels.tolist() == [-1, 2]
    assert renumbered(labelled(("c",), [-1, 0]), "abc").labels.tolist() == [-1, 2]


def test_words_of_another_number_than_the_classes_ask_for_names() -> None:
    with pytest.raises(SpecError, match=r"2 classes \(cat, dog\) and the model 3.*class_names"):
        must_be_all(labelled(("cat", "dog"), [0, 1]), 3)
    must_be_all(labelled(("0", "1"), [0, 1]), 3)
    must_be_all(labelled((), [0, 1]), 3)
    must_be_all(labelled(("cat", "dog"), [0, 1]), None)


def test_two_spellings_of_one_class_are_refused() -> None:
    with pytest.raises(DataError, match="two classes that are one"):
        renumbered(labelled(("Cat", "cat"), [0, 1]), ["cat", "dog"])
    names = json.loads('["Cat", "cat"]')
    assert renumbered(labelled(("cat", "Cat"), [0, 1]), names).labels.tolist() == [1, 0]


def test_a_label_below_minus_one_is_no_class() -> None:
    with pytest.raises(DataError, match="mine has the label -2"):
        renumbered(labelled(("a", "b", "c"), [0, -2]), "abc")


def test_a_name_twice_is_named_in_a_long_list_too(tmp_path: Path) -> None:
    names = [*map(str, range(50_000)), "7"]
    path = tmp_path / "names.json"
    path.write_text(json.dumps(names))
    with pytest.raises(SpecError, match="has '7' twice"):
        read_class_names(path)
    # one pass: comparing each with all others takes a minute
    path.write_text(json.dumps({str(k): f"class {k}" for k in range(50_000)}))
    assert len(read_class_names(path)) == 50_000
