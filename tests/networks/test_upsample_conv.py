import pytest
import torch
from torch import nn
from torch.nn import functional as F

from clonecost.networks.upsample_conv import EnlargingConv2d


@pytest.mark.parametrize("sides", [(1, 1), (3, 5), (8, 8)], ids=str)
def test_it_is_nearest_doubling_and_the_convolution_with_the_same_gradients(
    sides: tuple[int, int],
) -> None:
    torch.manual_seed(0)
    ours = EnlargingConv2d(3, 4).double()
    plain = nn.Conv2d(3, 4, 3, padding=1).double()
    plain.load_state_dict(ours.state_dict())  # the same names and shapes
    x = torch.randn(2, 3, *sides, dtype=torch.float64, requires_grad=True)
    one, two = ours(x), plain(F.interpolate(x, scale_factor=2, mode="nearest"))
    torch.testing.assert_close(one, two)
    upstream = torch.randn_like(one)
    found = torch.autograd.grad(one, [x, *ours.parameters()], upstream)
    wanted = torch.autograd.grad(two, [x, *plain.parameters()], upstream)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b)


def test_initial_weights_are_those_of_the_convolution() -> None:
    torch.manual_seed(3)
    ours = EnlargingConv2d(2, 5)
    torch.manual_seed(3)
    plain = nn.Conv2d(2, 5, 3, padding=1)
    assert torch.equal(ours.weight, plain.weight)
