import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from clonecost.errors import SpecError
from clonecost.networks import build_generator


def test_parameter_count_is_the_papers() -> None:
    generator = build_generator(256, (3, 32, 32))
    assert sum(p.numel() for p in generator.parameters()) == 2_329_091


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (2, 8, 12)], ids=str)
@pytest.mark.parametrize("upsampling", ["nearest", "bilinear"])
def test_every_channel_is_standardised_over_the_batch(
    shape: tuple[int, int, int], upsampling: Any
) -> None:
    generator = build_generator(16, shape, width=8, upsampling=upsampling).train()
    images = generator(torch.randn(32, 16))
    assert images.shape == (32, *shape)
    torch.testing.assert_close(images.mean((0, 2, 3)), torch.zeros(shape[0]), rtol=0, atol=1e-4)
    variance = images.var((0, 2, 3), correction=0)
    torch.testing.assert_close(variance, torch.ones(shape[0]), rtol=0, atol=1e-2)
    assert images.abs().max() > 1  # before tanh, not after


def test_gradients_reach_all_parameters_and_latents() -> None:
    generator = build_generator(8, (1, 8, 8), width=4).train()
    latents = torch.randn(6, 8, requires_grad=True)
    generator(latents).tanh().square().sum().backward()
    assert latents.grad is not None
    assert latents.grad.abs().sum() > 0
    assert all(p.grad is not None and p.grad.isfinite().all() for p in generator.parameters())


def test_copies_and_saved_weights_make_the_same_images(tmp_path: Path) -> None:
    generator = build_generator(8, (1, 8, 8), width=4)
    generator(torch.randn(16, 8))  # moves the running statistics
    generator.eval()
    save_file(generator.state_dict(), tmp_path / "g.safetensors")
    other = build_generator(8, (1, 8, 8), width=4).eval()
    other.load_state_dict(load_file(tmp_path / "g.safetensors"))
    latents = torch.randn(4, 8)
    with torch.no_grad():
        images = generator(latents)
        assert torch.equal(images, other(latents))
        assert torch.equal(images, copy.deepcopy(generator)(latents))


def test_invalid_arguments_are_refused() -> None:
    with pytest.raises(SpecError, match="multiples of 4"):
        build_generator(8, (1, 30, 30))
    with pytest.raises(SpecError, match="latent_dim >= 1"):
        build_generator(0, (1, 32, 32))
