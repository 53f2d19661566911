"""Model files that are opened without consent: ONNX, skops, weights as safetensors."""

from pathlib import Path

import skops.io
import torch
from hypothesis import given
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save
from sklearn.linear_model import LogisticRegression
from tests.support.data_files import pixels
from tests.support.fuzzing import broken, fuzz, holds_its_promise

from clonecost.networks import build
from clonecost.victims.load import load_weights
from clonecost.victims.onnx import onnx_victim
from clonecost.victims.sklearn_model import skops_victim

ROWS = pixels(30, 4) / 255.0
SKOPS = skops.io.dumps(LogisticRegression().fit(ROWS, [0, 1, 2] * 10))


def linear() -> bytes:
    weights = numpy_helper.from_array(ROWS[:3].T.astype("float32"), "weights")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["pixels", "weights"], ["scores"])],
        "linear",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 3])],
        [weights],
    )
    opset = helper.make_opsetid("", 17)
    return bytes(helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString())


ONNX = linear()


@fuzz
@given(broken(ONNX))
def test_onnx(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "any.onnx"
    path.write_bytes(content)
    holds_its_promise(lambda: onnx_victim(path, input_shape=(4,), num_classes=3))


@fuzz
@given(broken(SKOPS))
def test_skops(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "any.skops"
    path.write_bytes(content)
    holds_its_promise(lambda: skops_victim(path))


with torch.random.fork_rng():
    LENET = save(build("lenet", (1, 16, 16), 3).state_dict())


def test_the_seeds_are_accepted(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("a.onnx", "a.skops", "a.safetensors")}
    for path, content in zip(files.values(), (ONNX, SKOPS, LENET), strict=True):
        path.write_bytes(content)
    onnx_victim(files["a.onnx"], input_shape=(4,), num_classes=3)
    skops_victim(files["a.skops"])
    load_weights(files["a.safetensors"], "lenet", (1, 16, 16), 3)


@fuzz
@given(broken(LENET))
def test_weights(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "any.safetensors"
    path.write_bytes(content)
    holds_its_promise(lambda: load_weights(path, "lenet", (1, 16, 16), 3))
