"""Arithmetic on the device: true float32 where differences are taken, bfloat16 elsewhere."""

import pytest
import torch
from torch import Tensor, nn

from clonecost.errors import PrecisionError
from clonecost.networks import build
from clonecost.query_synthesis.zeroth_order import forward_difference, full_float32
from clonecost.types import LabelledInputs
from clonecost.victims import torch_victim
from clonecost.victims.zoo.catalogue import Training
from clonecost.victims.zoo.train_classifier import train_classifier

ROWS = 64


@pytest.fixture
def convolutions(device: torch.device) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build("resnet8", (3, 32, 32), 10).to(device).eval()


@pytest.fixture
def pictures(device: torch.device) -> Tensor:
    return torch.rand(ROWS, 3, 32, 32, generator=torch.Generator().manual_seed(1)).to(device)


def slopes(network: nn.Module, x: Tensor) -> Tensor:
    """(n, K) differences of logits along one direction a row, as `forward_difference` steps."""
    u = torch.randn(x.shape, generator=torch.Generator().manual_seed(2)).to(x)
    u /= u.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    with torch.no_grad():
        return (network(x + 1e-3 * u) - network(x)) / 1e-3


def test_differences_are_those_of_float64(convolutions: nn.Module, pictures: Tensor) -> None:
    with full_float32():
        found = slopes(convolutions, pictures).double()
    exact = slopes(convolutions.double(), pictures.double())
    # in TF32 they have nothing in common
    assert torch.corrcoef(torch.stack([found.flatten(), exact.flatten()]))[0, 1] > 0.95


def test_tf32_and_autocast_are_refused(pictures: Tensor, device: torch.device) -> None:
    rng = torch.Generator(device).manual_seed(0)

    def estimate() -> Tensor:
        return forward_difference(
            lambda x: x.flatten(1).sum(1), pictures, directions=1, step=1e-3, rng=rng
        )

    with torch.autocast(device.type, torch.bfloat16), pytest.raises(PrecisionError):
        estimate()
    with full_float32():
        estimate()
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = True  # torch's default
        with pytest.raises(PrecisionError):
            estimate()


def test_a_victim_answers_alike_whatever_the_caller_allows(
    convolutions: nn.Module, pictures: Tensor, device: torch.device
) -> None:
    victim = torch_victim(convolutions, device=device)
    plain = victim(pictures)
    with full_float32():
        assert torch.equal(victim(pictures), plain)
    with torch.autocast(device.type, torch.bfloat16):
        assert torch.equal(victim(pictures), plain)


def test_bfloat16_trains_within_the_noise_of_float32(device: torch.device) -> None:
    rng = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (600,), generator=rng)
    pixels = torch.randint(60, (600, 1, 32, 32), generator=rng)
    for k in range(4):  # a bright quarter tells the class
        pixels[labels == k, :, 16 * (k // 2) : 16 * (k // 2) + 16, 16 * (k % 2) : 16 * (k % 2) + 16] += 60  # fmt: skip  # noqa: E501
    data = LabelledInputs(pixels.to(torch.uint8), labels, tuple("abcd"), "quarters")
    found = {}
    for low in (False, True):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = build("lenet", (1, 32, 32), 4)
        training = Training(epochs=3, lr=0.05, batch_size=32, low_precision=low)
        kept = train_classifier(
            model, data.take(slice(0, 400)), data.take(slice(400, 600)), training,
            rng=torch.Generator().manual_seed(1), device=device,
        )  # fmt: skip
        found[low] = kept.validation_accuracy
    assert found[False] > 0.9
    assert abs(found[True] - found[False]) < 0.05
