"""Names of classes in an ONNX file, as exporters write them, and images numbered by them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper, save
from PIL import Image

from clonecost.config import EVERYTHING, load_parts, make_spec
from clonecost.errors import DataError
from clonecost.victims import load_victim
from clonecost.victims.onnx_names import names_of

WRITTEN = {
    "a list": lambda names: ("classes", json.dumps(names)),
    "as json": lambda names: ("id2label", json.dumps(dict(enumerate(names)))),
    "as Python": lambda names: ("names", str(dict(enumerate(names)))),
    "a Python list": lambda names: ("class_names", str(names)),
}  # fmt: skip
SHADES = {"dark": 0, "bright": 255}


@given(
    names=st.lists(st.text("abcé' \"{", min_size=1, max_size=4).map(str.strip).filter(bool),
                   min_size=2, max_size=6, unique=True),
    way=st.sampled_from(sorted(WRITTEN)),
)  # fmt: skip
def test_names_are_read_however_they_are_written(names: list[str], way: str) -> None:
    key, text = WRITTEN[way](names)
    assert names_of({"author": "a", key: text}, len(names)) == tuple(names)
    assert names_of({key: text}, len(names) + 1) == ()


@pytest.mark.parametrize("text", ["", "[", "{0: open('x')}", "[1, 2]", '["a", "a"]', '["a", " "]',
                                  '{"0": "a", "2": "b"}', "(" * 10_000])  # fmt: skip
def test_what_is_no_list_of_names_is_left_alone(text: str) -> None:
    assert names_of({"names": text}, 2) == ()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class 0 is bright and class 1 dark: the other order than that of sorted folders."""
    path = tmp_path_factory.mktemp("onnx") / "shade.onnx"
    weight = torch.tensor([[1.0, -1.0]]).repeat(192, 1) / 20
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("Sub", ["flat", "half"], ["centred"]),
        helper.make_node("MatMul", ["centred", "weight"], ["logits"]),
    ]
    constants: list[Any] = [numpy_helper.from_array(weight.numpy(), "weight"),
                            numpy_helper.from_array(torch.tensor(0.5).numpy(), "half")]  # fmt: skip
    graph = helper.make_graph(
        nodes, "made", [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 2])], constants,
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(made, {"names": "{0: 'bright', 1: 'dark'}"})
    save(made, path)
    return path


def folders(place: Path, *names: str) -> Path:
    for name in names:
        (place / name).mkdir(parents=True)
        for k in range(2):
            shade = abs(SHADES.get(name, 0) - k)
            Image.new("RGB", (8, 8), (shade, shade, shade)).save(place / name / f"{k}.png")
    return place


def test_folders_get_the_numbers_of_the_names_in_the_file(model: Path, tmp_path: Path) -> None:
    assert load_victim(str(model), input_shape=(3, 8, 8)).classes == ("bright", "dark")
    for there in (["bright", "dark"], ["dark"]):  # also where a class has no picture
        test = folders(tmp_path / str(len(there)), *there)
        spec = make_spec({"victim": str(model), "test": str(test), "proxy": str(test)})
        parts = load_parts(spec, consent=EVERYTHING)
        assert parts.test.classes == ("bright", "dark")
        assert torch.equal(parts.victim.answer(parts.test.rows(slice(None))).argmax(1),
                           parts.test.labels)  # fmt: skip


def test_a_folder_that_the_file_does_not_name_is_refused(model: Path, tmp_path: Path) -> None:
    test = folders(tmp_path / "test", "bright", "grey")
    spec = make_spec({"victim": str(model), "test": str(test), "proxy": str(test)})
    with pytest.raises(DataError, match=r"does not have: grey.*classes are bright, dark"):
        load_parts(spec, consent=EVERYTHING)
    (tmp_path / "names.txt").write_text("grey\nbright\n")
    own = spec.model_copy(update={"class_names": str(tmp_path / "names.txt")})
    assert load_parts(own, consent=EVERYTHING).victim.classes == ("grey", "bright")
