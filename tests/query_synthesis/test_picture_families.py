import pytest
import torch

from clonecost.query_synthesis.picture_families import FAMILIES


def draw(name: str, shape: tuple[int, ...] = (3, 16, 16), seed: int = 0) -> torch.Tensor:
    return FAMILIES[name](70, shape, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_makes_different_pixels_of_any_shape(name: str) -> None:
    for shape in [(3, 16, 16), (1, 9, 12), (1, 4, 4)]:
        images = draw(name, shape)
        assert images.shape == (70, *shape)
        assert images.min() >= 0
        assert images.max() <= 1  # catches nan, too
    images = draw(name)
    assert len(images.flatten(1).unique(dim=0)) == 70
    assert torch.equal(images, draw(name))
    assert not torch.equal(images, draw(name, seed=1))


def test_neighbouring_pixels_are_similar_but_for_noise() -> None:
    steps = {name: float(draw(name).diff(dim=3).abs().mean()) for name in FAMILIES}
    rough = steps.pop("noise")
    assert max(steps.values()) < rough / 2


def test_scenes_and_mosaics_have_edges_and_clouds_have_none() -> None:
    strongest = {name: draw(name).diff(dim=3).abs().flatten(1).amax(1).mean() for name in FAMILIES}
    assert strongest["clouds"] < min(strongest["mosaics"], strongest["scenes"])
