"""Weights outside of an ONNX file are part of its digest, wherever the graph names them."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from clonecost.errors import VictimError
from clonecost.persistence.onnx_external import external_files, onnx_digest
from clonecost.victims import load_victim

PLACES = ("initializer", "attribute", "branch", "function", "sparse")


def outside(name: str, location: str) -> Any:
    tensor = numpy_helper.from_array(np.ones(4, "float32"), name)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"offset": "0", "location": location, "length": "16"}.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def model(path: Path, where: dict[str, str]) -> Path:
    """A graph that names a file in each of the given places."""
    tensors = {place: outside(place, name) for place, name in where.items()}
    nodes, initializers, functions, sparse = [], [], [], []
    for place, tensor in tensors.items():
        constant = helper.make_node("Constant", [], [place], value=tensor)
        if place == "initializer":
            initializers.append(tensor)
        elif place == "attribute":
            nodes.append(constant)
        elif place == "branch":
            inner = helper.make_graph([constant], "b", [], [])
            nodes.append(helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner))
        elif place == "function":
            opset = helper.make_opsetid("", 17)
            functions.append(helper.make_function("own", "f", [], [place], [constant], [opset]))
        else:
            indices = numpy_helper.from_array(np.arange(4), "i")
            sparse.append(helper.make_sparse_tensor(tensor, indices, [4]))
    big = numpy_helper.from_array(np.zeros(300, "float32"), "own")  # a length of two bytes
    graph = helper.make_graph(nodes, "g", [], [], [big, *initializers], sparse_initializer=sparse)
    made = helper.make_model(graph, functions=functions)
    path.write_bytes(made.SerializeToString())
    return path


@given(where=st.dictionaries(st.sampled_from(PLACES), st.sampled_from("abc"), max_size=5))
@settings(max_examples=40)
def test_a_change_of_any_file_that_the_graph_names_changes_the_digest(
    where: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("m")
    names = sorted(set(where.values()))
    for name in "abc":
        (folder / name).write_bytes(name.encode() * 16)
    path = model(folder / "m.onnx", where)
    assert external_files(path) == [folder / name for name in names]
    before = onnx_digest(path)
    if not names:
        assert before == hashlib.sha256(path.read_bytes()).hexdigest()
    for name in "abc":
        (folder / name).write_bytes(b"changed")
        assert (onnx_digest(path) != before) == (name in names)
        (folder / name).write_bytes(name.encode() * 16)


@given(data=st.binary(max_size=60))
@settings(max_examples=200)
def test_any_bytes_are_read_or_refused_by_one_sentence(
    data: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("b") / "m.onnx"
    path.write_bytes(data)
    said = ""
    try:
        assert external_files(path) == []
    except VictimError as error:
        said = str(error)
    assert "\n" not in said


@pytest.mark.parametrize("location", ["../outside.bin", "/etc/hostname", "sub/../../outside.bin"])
def test_weights_outside_of_the_folder_are_refused(location: str, tmp_path: Path) -> None:
    (tmp_path / "outside.bin").write_bytes(b"x" * 16)
    (tmp_path / "in").mkdir()
    path = model(tmp_path / "in" / "m.onnx", {"initializer": location})
    with pytest.raises(VictimError, match="outside of its folder"):
        load_victim(str(path), input_shape=(4,), num_classes=2)


def test_a_link_out_of_the_folder_is_refused_and_a_missing_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "outside.bin").write_bytes(b"x" * 16)
    (tmp_path / "in").mkdir()
    path = model(tmp_path / "in" / "m.onnx", {"initializer": "w.bin"})
    with pytest.raises(VictimError, match=r"takes its weights from 'w\.bin', which is missing"):
        external_files(path)
    (tmp_path / "in" / "w.bin").symlink_to(tmp_path / "outside.bin")
    with pytest.raises(VictimError, match="outside of its folder"):
        external_files(path)


def test_the_digest_of_the_case_changes_with_its_weights(cases: Path, tmp_path: Path) -> None:
    for name in ("external.onnx", "weights.bin"):
        shutil.copy(cases / name, tmp_path)
    path, weights = tmp_path / "external.onnx", tmp_path / "weights.bin"

    def digest() -> str | None:
        return load_victim(str(path), input_shape=(1, 8, 8), num_classes=10).weights

    before = digest()
    assert before == digest()
    weights.chmod(0o600)
    weights.write_bytes(weights.read_bytes()[::-1][:-4] + b"\0\0\0\0")
    assert digest() != before
    assert onnx.load(path, load_external_data=False).graph.initializer[0].external_data


@pytest.mark.parametrize("name", ["a\0b", "x" * 5_000])
def test_a_location_that_no_file_can_have_is_one_sentence(name: str, tmp_path: Path) -> None:
    path = model(tmp_path / "m.onnx", {"initializer": name})
    with pytest.raises(VictimError, match="which is no name of a file") as refused:
        external_files(path)
    assert len(str(refused.value)) < 400
