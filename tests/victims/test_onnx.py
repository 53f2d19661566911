"""ONNX files: every layout, type and batch, and the broken ones."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper, save
from torch import Tensor

from clonecost.errors import VictimError
from clonecost.victims import LoadedVictim, load_victim
from clonecost.victims.input_form import InputForm

SHAPE, CLASSES = (3, 4, 5), 6
WEIGHT = torch.rand(60, CLASSES, generator=torch.Generator().manual_seed(0)) - 0.5
NUMPY: dict[int, Any] = {
    TensorProto.FLOAT: np.float32, TensorProto.DOUBLE: np.float64, TensorProto.FLOAT16: np.float16,
}  # fmt: skip
Sizes = list[int | str]


def graph(
    path: Path, sizes: Sizes, *, type_: int = TensorProto.FLOAT, probs: bool = False,
    weight: Tensor = WEIGHT, outputs: int = 1, scores: str = "logits",
) -> Path:  # fmt: skip
    """Row by row flat, times the weight, and perhaps a soft-max."""
    inner = TensorProto.FLOAT if type_ == TensorProto.UINT8 else type_
    nodes = [
        helper.make_node("Cast", ["image"], ["cast"], to=inner),
        helper.make_node("Flatten", ["cast"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], [scores]),
        helper.make_node("Softmax", [scores], ["probs"]),
    ]
    names = ["probs" if probs else scores, "flat"][:outputs]
    made = helper.make_graph(
        nodes, "made", [helper.make_tensor_value_info("image", type_, sizes)],
        [helper.make_tensor_value_info(name, inner, [sizes[0], None]) for name in names],
        [numpy_helper.from_array(weight.numpy().astype(NUMPY[inner]), "weight")],
    )  # fmt: skip
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    save(model, path)
    return path


def loaded(path: Path, **how: Any) -> LoadedVictim:
    return load_victim(str(path), **{"input_shape": SHAPE, "num_classes": CLASSES, **how})


def rows(count: int = 5) -> Tensor:
    """8-bit images, so that no type loses anything but float16."""
    rng = torch.Generator().manual_seed(count)
    return torch.randint(256, (count, *SHAPE), generator=rng) / 255


def expected(inputs: Tensor) -> Tensor:
    return (inputs.flatten(1) @ WEIGHT).softmax(1)


@pytest.mark.parametrize("probs", [False, True])
@pytest.mark.parametrize(
    "sizes", [["n", 3, 4, 5], ["n", 3, "h", "w"], [2, 3, 4, 5], [1, 3, 4, 5], [None, 3, None, 5]]
)
def test_channels_first_any_batch_logits_or_probabilities(
    sizes: Sizes, probs: bool, tmp_path: Path
) -> None:
    victim = loaded(graph(tmp_path / "m.onnx", sizes, probs=probs))
    torch.testing.assert_close(victim.answer(rows(5)), expected(rows(5)), atol=1e-6, rtol=0)
    gives = "probabilities" if probs else "logits"
    assert victim.format.startswith(f"ONNX Runtime on CPU, nchw, gives {gives} (")
    assert victim.num_classes == CLASSES


def test_the_graph_states_channels_last(tmp_path: Path) -> None:
    victim = loaded(graph(tmp_path / "m.onnx", ["n", 4, 5, 3]))
    torch.testing.assert_close(victim.answer(rows()), expected(rows().permute(0, 2, 3, 1)))
    assert "nhwc" in victim.served


def test_an_open_layout_must_be_set(tmp_path: Path) -> None:
    path = graph(tmp_path / "m.onnx", ["n", "a", "b", "c"])
    with pytest.raises(VictimError, match=r"\(any, any, any\).*`layout='nchw'`; or .*'nhwc'"):
        loaded(path)
    for layout, order in (("nchw", (0, 1, 2, 3)), ("nhwc", (0, 2, 3, 1))):
        victim = loaded(path, form=InputForm(layout=layout))  # type: ignore[arg-type]
        torch.testing.assert_close(victim.answer(rows()), expected(rows().permute(order)))


@pytest.mark.parametrize("sizes", [["n", 60], ["n", 6, 10]])
def test_only_images_of_one_channel_are_flattened(sizes: Sizes, tmp_path: Path) -> None:
    path = graph(tmp_path / "m.onnx", sizes)
    with pytest.raises(VictimError, match="Set `input_shape`"):
        loaded(path)
    inputs = torch.rand(3, 1, 6, 10)
    answers = loaded(path, input_shape=(1, 6, 10)).answer(inputs)
    torch.testing.assert_close(answers, expected(inputs))


def test_features_in_their_order(tmp_path: Path) -> None:
    path = graph(tmp_path / "m.onnx", ["n", 60])
    inputs = torch.rand(3, 60)
    torch.testing.assert_close(loaded(path, input_shape=(60,)).answer(inputs), expected(inputs))
    with pytest.raises(VictimError, match=r"another shape .*got \(61,\), want \(60\)"):
        loaded(path, input_shape=(61,))


def test_the_range_and_normalisation_that_the_owner_states(tmp_path: Path) -> None:
    path = graph(tmp_path / "m.onnx", ["n", 3, 4, 5])
    mean, std = (1.0, 2.0, 3.0), (4.0, 5.0, 6.0)
    victim = loaded(path, form=InputForm(pixels="0..255", mean=mean, std=std))
    centred = (rows() * 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    torch.testing.assert_close(victim.answer(rows()), expected(centred), atol=1e-5, rtol=1e-4)
    with pytest.raises(VictimError, match=r"mean .* for 3 channel\(s\): got 2, want 1 or 3"):
        loaded(path, form=InputForm(mean=(1.0, 2.0)))
    with pytest.raises(VictimError, match=r"got \[0.0\], want numbers above 0.*`std`"):
        loaded(path, form=InputForm(std=(0.0,)))


@pytest.mark.parametrize("type_", [*NUMPY, TensorProto.UINT8])
def test_every_type_of_pixels(type_: int, tmp_path: Path) -> None:
    bytes_ = type_ == TensorProto.UINT8
    weight = WEIGHT / 255 if bytes_ else WEIGHT
    victim = loaded(graph(tmp_path / "m.onnx", ["n", 3, 4, 5], type_=type_, weight=weight))
    half = type_ == TensorProto.FLOAT16
    torch.testing.assert_close(
        victim.answer(rows()), expected(rows()), atol=2e-3 if half else 1e-6, rtol=0
    )
    assert victim.takes == ("uint8" if bytes_ else "float32")


def test_outputs_are_checked_against_the_rows(tmp_path: Path) -> None:
    probs = graph(tmp_path / "p.onnx", ["n", 3, 4, 5], probs=True)
    assert "as stated" in loaded(probs, outputs="probs").format
    with pytest.raises(VictimError, match=r"not logits .*sums to 1.*Set `outputs='probs'`"):
        loaded(probs, outputs="logits")
    logits = graph(tmp_path / "l.onnx", ["n", 3, 4, 5])
    with pytest.raises(VictimError, match=r"not probabilities .*Set `outputs='logits'`"):
        loaded(logits, outputs="probs")


def test_a_graph_that_does_not_fit_is_one_sentence(tmp_path: Path) -> None:
    path = graph(tmp_path / "m.onnx", ["n", 3, 4, 5])
    with pytest.raises(VictimError, match=r"classes .*got 6 scores a row, want 7"):
        loaded(path, num_classes=7)
    with pytest.raises(VictimError, match=r"got \(3, 8, 8\), want \(3, 4, 5\)"):
        loaded(path, input_shape=(3, 8, 8))
    with pytest.raises(VictimError, match=r"got \(3, 4, 5\) as nhwc, want .*`layout`"):
        loaded(path, form=InputForm(layout="nhwc"))
    unnamed = graph(tmp_path / "two.onnx", ["n", 3, 4, 5], outputs=2, scores="Identity:0")
    with pytest.raises(VictimError, match=r"outputs .*got Identity:0 .*, flat .*`output='flat'`"):
        loaded(unnamed, num_classes=None)
    with pytest.raises(VictimError, match=r"has no output 'x' .*got Identity:0 .*Set `output`"):
        loaded(unnamed, num_classes=None, output="x")


@pytest.mark.parametrize(
    ("scores", "classes", "output"),
    [("logits", None, None), ("Identity:0", 6, None), ("Identity:0", None, "Identity:0")],
    ids=["its name", "its columns", "the owner"],
)
def test_one_of_two_outputs_is_told_apart_by(
    scores: str, classes: int | None, output: str | None, tmp_path: Path
) -> None:
    path = graph(tmp_path / "m.onnx", ["n", 3, 4, 5], outputs=2, scores=scores)
    victim = loaded(path, num_classes=classes, output=output)
    torch.testing.assert_close(victim.answer(rows(5)), expected(rows(5)), atol=1e-6, rtol=0)
    with pytest.raises(VictimError, match="Set `input_shape`"):
        loaded(path, input_shape=None)
    (tmp_path / "broken.onnx").write_bytes(path.read_bytes()[:100])
    with pytest.raises(VictimError, match="cannot be loaded as ONNX") as broken:
        loaded(tmp_path / "broken.onnx")
    assert "\n" not in str(broken.value)
    with pytest.raises(VictimError, match="no file"):
        loaded(tmp_path / "absent.onnx")


def test_without_onnx_runtime_the_remedy_is_its_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(VictimError, match=r"pip install 'clonecost\[onnx\]'"):
        loaded(graph(tmp_path / "m.onnx", ["n", 3, 4, 5]))


def with_labels(path: Path, *, contradicting: bool) -> Path:
    """Scores, and a label that is the class of the highest score, or of the lowest."""
    kind = "ArgMin" if contradicting else "ArgMax"
    made = helper.make_graph(
        [
            helper.make_node("Flatten", ["image"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weight"], ["scores"]),
            helper.make_node(kind, ["scores"], ["label"], axis=1, keepdims=0),
        ],
        "made", [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", *SHAPE])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["n"]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", CLASSES]),
        ],
        [numpy_helper.from_array(WEIGHT.numpy(), "weight")],
    )  # fmt: skip
    save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_scores_that_contradict_the_graphs_own_labels_are_refused(tmp_path: Path) -> None:
    right = loaded(with_labels(tmp_path / "right.onnx", contradicting=False))
    torch.testing.assert_close(right.answer(rows()), expected(rows()))
    with pytest.raises(VictimError, match=r"contradict its own label output: on \d+ of 16"):
        loaded(with_labels(tmp_path / "wrong.onnx", contradicting=True))


def test_the_channel_order_that_the_owner_states(tmp_path: Path) -> None:
    path = graph(tmp_path / "m.onnx", ["n", 3, 4, 5])
    mean = (1.0, 2.0, 3.0)  # of blue, green, red
    victim = loaded(path, form=InputForm(channels="bgr", mean=mean))
    turned = rows().flip(1) - torch.tensor(mean).view(3, 1, 1)
    torch.testing.assert_close(victim.answer(rows()), expected(turned), atol=1e-5, rtol=1e-4)
    grey = graph(tmp_path / "grey.onnx", ["n", 1, 6, 10])
    with pytest.raises(VictimError, match=r"bgr is one of 3 channels: got 1 channel.*`channels`"):
        loaded(grey, input_shape=(1, 6, 10), form=InputForm(channels="bgr"))


@pytest.fixture
def chosen_threads() -> Iterator[Callable[[int], None]]:
    """Sets torch's number of threads, and puts it back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_a_session_has_as_many_threads_as_the_run_chooses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen_threads: Callable[[int], None]
) -> None:
    opened, opening = list[int](), onnxruntime.InferenceSession

    def noting(path: Path, options: Any, **how: Any) -> Any:
        opened.append(options.intra_op_num_threads)
        return opening(path, options, **how)

    monkeypatch.setattr(onnxruntime, "InferenceSession", noting)
    chosen_threads(2)
    path = graph(tmp_path / "net.onnx", ["n", *SHAPE])
    victim = loaded(path)
    for number in (1, 1, 2):
        chosen_threads(number)
        torch.testing.assert_close(victim.answer(rows()), expected(rows()))
    assert opened == [2, 1, 2]
    graph(path, ["n", *SHAPE], weight=-WEIGHT)
    chosen_threads(1)
    with pytest.raises(VictimError, match="has changed since it was loaded"):
        victim.answer(rows())
