import pytest
import torch
from torch import nn

from clonecost.errors import SpecError
from clonecost.networks.dcgan import LATENT_DIM, DcganDiscriminator, DcganGenerator


def parameters(network: nn.Module) -> int:
    return sum(tensor.numel() for tensor in network.parameters())


def test_parameter_counts_are_the_published_ones() -> None:
    with torch.device("meta"):
        assert parameters(DcganGenerator((3, 32, 32))) == 3_573_824
        assert parameters(DcganDiscriminator((3, 32, 32))) == 2_759_424


@pytest.mark.parametrize("shape", [(1, 16, 32), (3, 48, 16), (1, 8, 8), (1, 28, 28)])
def test_images_have_their_size_and_every_parameter_a_gradient(shape: tuple[int, int, int]) -> None:
    generator, critic = DcganGenerator(shape, 4), DcganDiscriminator(shape, 4)
    z = torch.randn(3, LATENT_DIM, generator=torch.Generator().manual_seed(0))
    made = generator(9 * z)
    assert made.shape == (3, *shape)
    assert made.abs().max() <= 1
    scores = critic(made)
    assert scores.shape == (3,)
    scores.square().mean().backward()
    for network in (generator, critic):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def test_initial_weights_are_as_published() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        networks = DcganGenerator((3, 32, 32), 16), DcganDiscriminator((3, 32, 32), 16)
    for network in networks:
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                assert layer.bias is None
                if layer.weight.numel() > 5_000:
                    assert layer.weight.std().item() == pytest.approx(0.02, rel=0.05)
            if isinstance(layer, nn.BatchNorm2d):
                assert (layer.weight - 1).abs().max() < 0.1
                assert layer.bias.count_nonzero() == 0


def test_invalid_arguments_are_refused() -> None:
    for shape in ((1, 30, 32), (1, 32)):
        with pytest.raises(SpecError, match="multiples of"):
            DcganGenerator(shape)
    with pytest.raises(SpecError, match="width >= 1"):
        DcganDiscriminator((1, 16, 16), 0)
