"""Whose class is which: from the folders of images to the audit."""

from pathlib import Path

import pytest
import torch

from clonecost.config import load_test, make_spec
from clonecost.config.build import load_attacked, load_parts
from clonecost.errors import DataError, SpecError


def test_an_accuracy_stays_when_a_class_folder_is_missing(cases: Path) -> None:
    spec = make_spec({
        "victim": str(cases / "percent.onnx"), "test": str(cases / "missing_class"),
    })  # fmt: skip
    test = load_test(spec)
    victim, threat = load_attacked(spec, test)
    assert threat.num_classes == 10
    right = victim.answer(test.rows(slice(None))).argmax(1) == test.labels
    assert float(right.float().mean()) > 0.85


def test_names_in_a_file_number_the_classes(cases: Path, tmp_path: Path) -> None:
    words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    for label, word in enumerate(words):
        source = cases / "missing_class" / str(label)
        if source.is_dir():
            (tmp_path / "own").mkdir(exist_ok=True)
            (tmp_path / "own" / word).symlink_to(source)
    written = {"victim": str(cases / "percent.onnx"), "test": str(tmp_path / "own")}
    spec = make_spec(written)
    with pytest.raises(SpecError, match=r"has 9 classes .* and the model 10.*class_names"):
        load_attacked(spec, load_test(spec))
    spec = make_spec({**written, "classes": 10})
    with pytest.raises(SpecError, match=r"has 9 classes .* and the model 10.*class_names"):
        load_attacked(spec, load_test(spec))
    (tmp_path / "names.txt").write_text("\n".join(words))
    spec = make_spec({**written, "class_names": str(tmp_path / "names.txt")})
    test = load_test(spec)
    victim, _ = load_attacked(spec, test)
    assert victim.classes == test.classes == tuple(words)
    right = victim.answer(test.rows(slice(None))).argmax(1) == test.labels
    assert float(right.float().mean()) > 0.85
    (tmp_path / "names.txt").write_text("\n".join(words[1:]))
    with pytest.raises(DataError, match=r"that the model does not have: zero.*nine"):
        load_test(spec)
    with pytest.raises(SpecError, match=r"another number of names .* got 9, want 10"):
        load_test(make_spec({**written, "classes": 10, "class_names": spec.class_names}))


def test_a_zoo_victim_has_its_own_names(tmp_path: Path, cases: Path) -> None:
    spec = make_spec({"victim": "digits-lenet", "test": str(cases / "missing_class")})
    assert sorted(set(load_test(spec).labels.tolist())) == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "cat").symlink_to(cases / "missing_class" / "0")
    spec = make_spec({"victim": "digits-lenet", "test": str(tmp_path / "own")})
    with pytest.raises(DataError, match=r"does not have: cat\. The model.s classes are 0, 1, 2"):
        load_test(spec)


def test_the_background_is_for_test_and_proxy(cases: Path, tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "1.png").symlink_to(cases / "white_alpha.png")
    written = {"victim": "digits-lenet", "test": str(tmp_path), "proxy": str(tmp_path)}
    with pytest.raises(DataError, match="transparent"):
        load_test(make_spec(written))
    spec = make_spec({**written, "background": "black"})
    proxy = load_parts(spec).proxy
    assert proxy is not None
    assert torch.equal(load_test(spec).inputs, proxy.inputs[:])
