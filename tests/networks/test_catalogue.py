"""Properties of every network of the catalogue."""

import copy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from clonecost.errors import SpecError
from clonecost.networks import NETWORKS, build
from clonecost.networks.alexnet import PairResponseNorm

GREY, RGB = (1, 32, 32), (3, 32, 32)


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("name", "shape", "classes", "count"),
    [
        ("lenet", GREY, 10, 61_706),
        ("half-lenet", GREY, 10, 35_820),
        ("alexnet", RGB, 10, 1_659_178),
        ("half-alexnet", RGB, 10, 417_434),
        ("vgg16", GREY, 10, 14_727_114),
        ("vgg16", RGB, 10, 14_728_266),
        ("resnet18-8x", RGB, 10, 11_173_962),
        ("resnet18-8x", RGB, 100, 11_220_132),
        ("resnet34-8x", RGB, 10, 21_282_122),
        ("wrn-22-2", RGB, 10, 1_079_642),
        ("resnet20", RGB, 10, 272_474),
        ("resnet8", RGB, 10, 78_042),
    ],
)
def test_parameter_count_is_the_papers(
    name: str, shape: tuple[int, ...], classes: int, count: int
) -> None:
    with torch.device("meta"):  # counts only: no memory, no initialisation
        assert parameters(build(name, shape, classes)) == count


@pytest.mark.parametrize("shape", [(1, 28, 28), RGB, (3, 40, 48)], ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_maps_pixels_to_logits(name: str, shape: tuple[int, ...]) -> None:
    network = build(name, shape, 7).eval()
    with torch.no_grad():
        assert network(torch.rand(2, *shape)).shape == (2, 7)


@pytest.mark.parametrize("name", NETWORKS)
def test_smallest_image_works_and_a_smaller_one_is_refused(name: str) -> None:
    least = NETWORKS[name].min_side
    shape = (1, least, least)
    assert build(name, shape, 3).eval()(torch.rand(2, *shape)).isfinite().all()
    with pytest.raises(SpecError, match=f"{name}.* at least {least}x{least} pixels"):
        build(name, (1, least - 1, least), 3)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_learns(name: str) -> None:
    network = build(name, RGB, 5).train()
    network(torch.rand(4, *RGB)).log_softmax(1)[:, 0].sum().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert (parameter.grad != 0).any(), key


@pytest.mark.parametrize("name", NETWORKS)
def test_eval_is_deterministic_in_every_layout_and_copy(name: str) -> None:
    torch.manual_seed(0)
    network = build(name, RGB, 5).eval()
    inputs = torch.rand(3, *RGB)
    before = inputs.clone()
    with torch.no_grad():
        logits = network(inputs)
        assert torch.equal(logits, network(inputs))
        assert torch.equal(logits, copy.deepcopy(network)(inputs))
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        fast = network(inputs.to(memory_format=torch.channels_last))
    torch.testing.assert_close(fast, logits, rtol=1e-3, atol=1e-4)
    assert torch.equal(inputs, before)  # normalisation on a new tensor


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_round_trip_through_safetensors(name: str, tmp_path: Path) -> None:
    network = build(name, GREY, 5, mean=(0.3,), std=(0.2,)).eval()
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    other = build(name, GREY, 5).eval()
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    inputs = torch.rand(2, *GREY)
    with torch.no_grad():
        assert torch.equal(network(inputs), other(inputs))  # the normalisation came with them


@pytest.mark.parametrize("name", ["resnet18-8x", "resnet20", "resnet8", "wrn-22-2"])
def test_convolutions_start_with_kaiming_fan_out(name: str) -> None:
    torch.manual_seed(0)
    for module in build(name, RGB, 10).modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 9_000:
            fan_out = module.out_channels * module.kernel_size[0] ** 2
            assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)


def test_alexnet_has_the_papers_biases_and_block_order() -> None:
    network = build("alexnet", RGB, 10)
    convs = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    starts = [m.bias.unique().tolist() for m in convs if m.bias is not None]
    assert starts == [[0.0], [1.0], [0.0], [1.0], [1.0]]
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d | nn.BatchNorm1d)]
    assert {m.eps for m in norms} == {1e-3}
    first = [type(m).__name__ for m in network.get_submodule("network.features").children()][:5]
    assert first == ["Conv2d", "ReLU", "PairResponseNorm", "MaxPool2d", "BatchNorm2d"]


def test_pair_response_norm_is_torchs() -> None:
    x = torch.randn(2, 5, 3, 4) * 100  # large, so that the norm is far from 1
    torch.testing.assert_close(PairResponseNorm()(x), nn.LocalResponseNorm(2)(x))


def test_pair_response_norm_has_torchs_gradients() -> None:
    x = (torch.randn(2, 5, 3, 4, dtype=torch.float64) * 100).requires_grad_()
    weights = torch.randn_like(x)
    (ours,) = torch.autograd.grad((PairResponseNorm()(x) * weights).sum(), x)
    (torchs,) = torch.autograd.grad((nn.LocalResponseNorm(2)(x) * weights).sum(), x)
    torch.testing.assert_close(ours, torchs)


def test_pixels_enter_normalised_per_channel() -> None:
    network = build("lenet", RGB, 3, mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 4.0))
    normalised = network.get_submodule("normalise")(torch.full((1, *RGB), 0.5))
    expected = torch.tensor([0.4, 0.15, 0.05]).view(1, 3, 1, 1).expand(1, *RGB)
    torch.testing.assert_close(normalised, expected)
    plain = build("lenet", RGB, 3).get_submodule("normalise")
    assert plain(torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1, 1).expand(3, *RGB))[
        :, 0, 0, 0
    ].tolist() == [-1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("le-net", GREY, 10), "did you mean 'lenet'"),
        (("lenet", (64,), 10), r"images of shape \(C, H, W\), not \(64,\)"),
        (("lenet", GREY, 1), "at least 2 classes"),
    ],
)
def test_invalid_arguments_are_refused(
    arguments: tuple[str, tuple[int, ...], int], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        build(*arguments)


def test_wrong_normalisation_is_refused() -> None:
    with pytest.raises(SpecError, match="mean has 2 values for 3 channels"):
        build("lenet", RGB, 10, mean=(0.1, 0.2))
    with pytest.raises(SpecError, match="std must be positive"):
        build("lenet", RGB, 10, std=(0.0,))
