import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from clonecost.errors import SpecError
from clonecost.networks.progan import (
    LATENT_DIM,
    ProganCritic,
    ProganGenerator,
    enlarge,
    shrunk,
    variation,
)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small() -> tuple[ProganGenerator, ProganCritic]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ProganGenerator((1, 32, 16), 2), ProganCritic((1, 32, 16), 2)


def latents(count: int = 5) -> Tensor:
    return torch.randn(count, LATENT_DIM, generator=rng())


def parameters(*networks: nn.Module) -> int:
    return sum(tensor.numel() for network in networks for tensor in network.parameters())


def test_parameter_counts_are_the_published_ones() -> None:
    with torch.device("meta"):
        network = ProganGenerator((3, 32, 32))
    assert parameters(network.enter, network.blocks, network.to_image[3]) == 2_223_907


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_a_stage_doubles_the_sides_and_uses_its_own_layers(stage: int) -> None:
    generator, critic = small()
    made = generator(latents(), stage)
    assert made.shape == (5, 1, 4 * 2**stage, 2 * 2**stage)
    scores = critic(made, stage)
    assert scores.shape == (5,)
    scores.square().mean().backward()
    used = [generator.enter, generator.to_image[stage], *list(generator.blocks)[:stage],
            critic.leave, critic.from_image[stage], *list(critic.blocks)[:stage]]  # fmt: skip
    theirs = {id(tensor) for network in used for tensor in network.parameters()}
    for network in (generator, critic):
        for name, parameter in network.named_parameters():
            assert (parameter.grad is not None) == (id(parameter) in theirs), name


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_a_block_is_faded_in_from_the_stage_before(stage: int) -> None:
    generator, critic = small()
    before, after = enlarge(generator(latents(), stage - 1)), generator(latents(), stage)
    torch.testing.assert_close(generator(latents(), stage, 0.0), before)
    torch.testing.assert_close(generator(latents(), stage, 0.25), 0.75 * before + 0.25 * after)
    images = torch.randn(4, 1, 4 * 2**stage, 2 * 2**stage, generator=rng())
    before = critic(avg_pool2d(images, 2), stage - 1)
    torch.testing.assert_close(critic(images, stage, 0.0), before)
    assert not torch.allclose(critic(images, stage, 1.0), before)


def test_variation_is_over_the_present_batch() -> None:
    maps = torch.randn(3, 4, 2, 2, generator=rng())
    by_hand = maps.numpy().std(axis=0).mean()
    found = variation(maps)
    assert found.shape == (3, 1, 2, 2)
    torch.testing.assert_close(found, torch.full((3, 1, 2, 2), by_hand.item()))
    assert variation(maps[:1].expand(5, -1, -1, -1)).max() < 1e-3
    one = maps[:1].clone().requires_grad_()
    variation(one).sum().backward()
    assert one.grad is not None
    assert one.grad.isfinite().all()


def test_real_images_shrink_by_means_and_are_faded_as_well() -> None:
    images = torch.rand(2, 1, 32, 16, generator=rng())
    assert shrunk(images, 3) is images
    small = shrunk(images, 1)
    torch.testing.assert_close(small[:, :, 0, 0], images[:, :, :4, :4].mean((2, 3)))
    faded = shrunk(images, 1, 0.25)
    blurred = images[:, :, :8, :8].mean((2, 3))
    torch.testing.assert_close(faded[:, :, 0, 0], 0.25 * small[:, :, 0, 0] + 0.75 * blurred)
    assert shrunk(images, 0, 0.25).shape == (2, 1, 4, 2)


def test_invalid_arguments_are_refused() -> None:
    with pytest.raises(SpecError, match="multiples of 8"):
        ProganGenerator((1, 28, 28))
    with pytest.raises(SpecError, match="width >= 1"):
        ProganCritic((1, 8, 8), 0)
