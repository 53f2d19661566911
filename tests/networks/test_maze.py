import pytest
import torch
from torch import nn

from clonecost.errors import SpecError
from clonecost.networks.maze import LATENT_DIM, Conv3Critic, Conv3Generator, strides


def parameters(network: nn.Module) -> int:
    return sum(tensor.numel() for tensor in network.parameters())


def test_parameter_counts_are_the_published_ones() -> None:
    with torch.device("meta"):
        assert parameters(Conv3Generator((3, 32, 32))) == 1_051_145
        assert parameters(Conv3Generator((1, 28, 28))) == 856_067
        assert parameters(Conv3Critic((3, 32, 32))) == 168_097


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 12, 16), (1, 28, 28), (3, 32, 32)], ids=str)
def test_images_and_scores_have_their_shape_and_every_parameter_a_gradient(
    shape: tuple[int, int, int],
) -> None:
    generator, critic = Conv3Generator(shape, width=4), Conv3Critic(shape)
    raw = generator(torch.randn(6, LATENT_DIM, generator=torch.Generator().manual_seed(0)))
    assert raw.shape == (6, *shape)
    assert raw.abs().max() > 1  # before tanh, not after
    scores = critic(raw.tanh())
    assert scores.shape == (6,)
    scores.square().mean().backward()
    for network in (generator, critic):
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_the_critics_scores_depend_on_one_image_each() -> None:
    """The gradient penalty needs it: no batch norm."""
    critic = Conv3Critic((1, 8, 8))
    images = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(critic(images)[:2], critic(images[:2]))


def test_invalid_arguments_are_refused() -> None:
    with pytest.raises(SpecError, match="multiples of 4"):
        Conv3Generator((1, 30, 32))
    with pytest.raises(SpecError, match="latent_dim >= 1"):
        Conv3Generator((1, 8, 8), latent_dim=0)
    with pytest.raises(SpecError, match="at least 7x7"):
        Conv3Critic((1, 4, 4))


@pytest.mark.parametrize(
    ("side", "wanted"), [(32, [2, 2, 2]), (28, [2, 2, 1]), (8, [1, 1, 1]), (16, [2, 1, 1])]
)
def test_the_critic_halves_as_published_and_less_on_small_images(
    side: int, wanted: list[int]
) -> None:
    assert strides(side) == wanted
