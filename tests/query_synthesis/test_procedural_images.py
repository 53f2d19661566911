import pytest
import torch

from clonecost.query_synthesis.procedural_images import ON_BLACK, drawings


def draw(count: int = 400, shape: tuple[int, ...] = (1, 32, 32), seed: int = 0) -> torch.Tensor:
    return drawings(count, shape, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (1, 28, 28), (3, 5, 9), (1, 2, 2)])
def test_are_pixels_of_any_shape(shape: tuple[int, ...]) -> None:
    images = draw(50, shape)
    assert images.shape == (50, *shape)
    assert images.dtype == torch.float32
    assert images.min() >= 0
    assert images.max() <= 1  # catches nan, too


def test_depend_on_the_seed_only() -> None:
    before = torch.get_rng_state()
    assert torch.equal(draw(seed=3), draw(seed=3))
    assert not torch.equal(draw(seed=3), draw(seed=4))
    assert torch.equal(torch.get_rng_state(), before)


def test_differ_from_each_other_and_are_not_blank() -> None:
    images = draw().mul(255).round().flatten(1)
    assert len(images.unique(dim=0)) == len(images)
    assert (images.std(1) > 1).float().mean() > 0.95


def test_half_of_them_have_a_black_background() -> None:
    corners = draw(2_000)[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]]
    dark = (corners.median(1).values < 0.02).float().mean()
    assert dark == pytest.approx(ON_BLACK, abs=0.08)


def test_neighbouring_pixels_are_similar() -> None:
    images = draw()
    steps = (images[:, :, :, 1:] - images[:, :, :, :-1]).abs().mean()
    noise = torch.rand(images.shape, generator=torch.Generator().manual_seed(1))
    rough = (noise[:, :, :, 1:] - noise[:, :, :, :-1]).abs().mean()
    assert steps < rough / 5  # neighbours mostly agree


def test_channels_differ() -> None:
    images = draw(shape=(3, 16, 16))
    assert (images[:, 0] - images[:, 1]).abs().mean() > 0.02
