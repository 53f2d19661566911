import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from clonecost.errors import SpecError
from clonecost.networks.sngan import (
    LATENT_DIM,
    ConditionalBatchNorm2d,
    ProjectionDiscriminator,
    SnganGenerator,
    one_hot_latents,
)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 6, side: int = 8) -> Tensor:
    return torch.rand(count, 1, side, side, generator=rng()) * 2 - 1


def critic(classes: int = 0) -> ProjectionDiscriminator:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ProjectionDiscriminator(1, 6, classes)


def generator(classes: int = 0) -> SnganGenerator:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return SnganGenerator((1, 8, 16), 6, classes)


def parameters(network: nn.Module) -> int:
    return sum(tensor.numel() for tensor in network.parameters())


def test_parameter_counts_are_the_published_ones() -> None:
    with torch.device("meta"):
        assert parameters(SnganGenerator((3, 32, 32))) == 4_276_739
        # six batch norms of 256 channels lose 512 numbers each and get 512 for each class
        assert parameters(SnganGenerator((3, 32, 32), classes=10)) == 4_276_739 + 6 * 512 * 9


@pytest.mark.parametrize("classes", [0, 4])
def test_images_are_bounded_and_have_the_requested_size(classes: int) -> None:
    made = generator(classes)
    assert made.latent_dim == LATENT_DIM + classes
    out = made(torch.randn(5, made.latent_dim, generator=rng()) * 9)
    assert out.shape == (5, 1, 8, 16)
    assert out.abs().max() <= 1


@pytest.mark.parametrize("low_precision", [False, True])
def test_spectral_norms_are_one_after_power_iterations(low_precision: bool) -> None:
    network = critic(classes=4).train()
    with torch.autocast("cpu", torch.bfloat16, enabled=low_precision):
        for _ in range(200):
            network(images(2), torch.tensor([0, 3]))
    network.eval()
    layers = [layer for layer in network.modules() if parametrize.is_parametrized(layer)]
    assert len(layers) == 4 * 2 + 2 + 2  # two in each block, two shortcuts, psi and the embedding
    for layer in layers:
        assert isinstance(layer.weight, Tensor)
        sigma = torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item()
        assert sigma == pytest.approx(1, rel=0.02 if low_precision else 0.01)


def test_every_layer_of_the_critic_is_normalised() -> None:
    for layer in critic(classes=4).modules():
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.Embedding):
            assert parametrize.is_parametrized(layer, "weight")


def test_the_projection_is_the_formula() -> None:
    network, labels = critic(classes=4).eval(), torch.tensor([3, 0, 1, 1, 2, 0])
    assert network.embed is not None
    psi, embed = network.psi.weight, network.embed.weight
    assert isinstance(psi, Tensor)
    assert isinstance(embed, Tensor)
    phi = network.phi(images()).sum((2, 3))
    assert phi.min() >= 0  # a ReLU ends it
    by_hand = [(phi[n] @ embed[y] + psi[0] @ phi[n]).item() for n, y in enumerate(labels.tolist())]
    torch.testing.assert_close(network(images(), labels), torch.tensor(by_hand))
    assert not torch.allclose(network(images(), labels), network(images(), 3 - labels))


def test_without_classes_the_critic_is_linear_on_its_trunk() -> None:
    network = critic().eval()
    psi = network.psi.weight
    assert isinstance(psi, Tensor)
    phi = network.phi(images()).sum((2, 3))
    torch.testing.assert_close(network(images()), phi @ psi[0])


def test_batch_norm_has_a_scale_and_a_shift_for_each_class() -> None:
    layer, maps = ConditionalBatchNorm2d(2, classes=3), torch.randn(6, 2, 4, 4, generator=rng())
    labels, plain = torch.tensor([0, 1, 2, 2, 1, 0]), nn.BatchNorm2d(2, affine=False)(maps)
    torch.testing.assert_close(layer(maps, labels), plain)  # at first
    with torch.no_grad():
        layer.scale.weight.copy_(torch.tensor([[1.0, 1], [2, 3], [1, 1]]))
        layer.shift.weight.copy_(torch.tensor([[0.0, 0], [5, 7], [0, 0]]))
    wanted = plain.clone()
    for row in (1, 4):
        wanted[row, 0], wanted[row, 1] = 2 * plain[row, 0] + 5, 3 * plain[row, 1] + 7
    torch.testing.assert_close(layer(maps, labels), wanted)


def test_the_largest_of_the_last_latents_is_the_class() -> None:
    made = generator(classes=4).eval()
    with torch.no_grad():
        for block in made.blocks:
            norm = block.norm1
            assert isinstance(norm, ConditionalBatchNorm2d)
            norm.scale.weight.copy_(torch.tensor([1.0, 2, 3, 4])[:, None].expand(4, 6))
    noise = torch.randn(1, LATENT_DIM, generator=rng()).expand(4, -1)
    by_class = made(one_hot_latents(noise, torch.arange(4), 4))
    assert all(not torch.equal(by_class[0], other) for other in by_class[1:])
    mutated = torch.cat([noise[:1], torch.tensor([[-0.1, 0.3, 2.5, 2.4]])], 1)
    torch.testing.assert_close(made(mutated)[0], by_class[2])


def test_gradients_reach_all_parameters_of_both() -> None:
    made, judge = generator(classes=3), ProjectionDiscriminator(1, 6, 3)
    labels = torch.tensor([0, 1, 2, 0])
    z = one_hot_latents(torch.randn(4, LATENT_DIM, generator=rng()), labels, 3)
    judge(made(z), labels).square().mean().backward()
    for network in (made, judge):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            # what batch norm takes away again has no gradient but rounding
            if not (name.endswith("conv1.bias") and network is made):
                assert parameter.grad.abs().sum() > 0, name


def test_invalid_arguments_are_refused() -> None:
    for shape in ((1, 28, 28), (1, 32), (0, 32, 32)):
        with pytest.raises(SpecError, match="multiples of 8"):
            SnganGenerator(shape)
    with pytest.raises(SpecError, match="width >= 1"):
        SnganGenerator((1, 8, 8), 0)
