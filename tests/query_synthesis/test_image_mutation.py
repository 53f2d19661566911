from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from clonecost.query_synthesis import image_mutation
from clonecost.query_synthesis.image_mutation import (
    children,
    contrast,
    keys_of,
    outlines,
    replace_share,
    turn,
    unseen,
    views,
)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def photos(n: int, channels: int = 1, side: int = 16, seed: int = 1) -> Tensor:
    """Smooth images with light and dark areas."""
    small = torch.rand(n, channels, 4, 4, generator=rng(seed))
    return torch.nn.functional.interpolate(small, (side, side), mode="bilinear")


MAKERS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "views": lambda x, r: views(x, x.flip(0), r),
    "children": lambda x, r: children(x, x.flip(0), x.roll(1, 0), r),
    "contrast": contrast,
    "turn": lambda x, r: turn(x, r, zoom=(0.5, 1.5), angle=0.5, shift=0.3, squeeze=0.5),
}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(("channels", "side"), [(1, 8), (3, 32)])
def test_images_stay_in_range_and_a_seed_repeats_them(name: str, channels: int, side: int) -> None:
    x = photos(40, channels, side)
    made = MAKERS[name](x, rng(5))
    assert made.shape == x.shape
    assert made.min() >= 0
    assert made.max() <= 1
    assert torch.equal(made, MAKERS[name](x, rng(5)))
    assert not torch.equal(made, MAKERS[name](x, rng(6)))
    assert (made != x).flatten(1).any(1).float().mean() > 0.5


def test_replace_share_replaces_whole_rows() -> None:
    before, after = torch.zeros(2_000, 1, 2, 2), torch.ones(2_000, 1, 2, 2)
    found = replace_share(0.3, before, after, rng()).flatten(1)
    assert ((found == 0).all(1) | (found == 1).all(1)).all()
    assert 0.26 < found.mean() < 0.34


def test_the_identity_map_changes_nothing() -> None:
    x = photos(5)
    same = turn(x, rng(), zoom=(1, 1), angle=0, shift=0, squeeze=0)
    assert torch.allclose(same, x, atol=1e-5)


def test_a_smaller_image_has_a_black_border_and_a_shift_moves_it() -> None:
    white = torch.ones(4, 1, 16, 16)
    small = turn(white, rng(), zoom=(0.5, 0.5), angle=0, shift=0, squeeze=0)
    assert small.mean().item() == pytest.approx(0.25, abs=0.03)
    assert small[:, :, 8, 8].min() == 1
    assert small[:, :, 0, 0].max() == 0
    moved = turn(white, rng(), zoom=(1, 1), angle=0, shift=0.5, squeeze=0)
    assert (moved.flatten(1).mean(1) < 1).all()


def test_contrast_blackens_dark_pixels_and_keeps_the_order() -> None:
    x = photos(60)
    made = contrast(x, rng())
    assert (made == 0).float().mean() > x.eq(0).float().mean() + 0.1
    order = x.flatten(1).argsort(1)
    sorted_made = made.flatten(1).gather(1, order)
    assert (sorted_made.diff(dim=1) >= -1e-6).all()


def test_outlines_are_binary_masks_of_shapes() -> None:
    found = outlines(photos(200, channels=3, side=32), rng())
    assert found.shape == (200, 1, 32, 32)
    assert set(found.unique().tolist()) == {0.0, 1.0}
    share = found.flatten(1).mean(1)
    assert 0.3 < share.mean() < 0.7
    steps = (found.diff(dim=3) != 0).float().mean()  # noise of this mean would have one in two
    assert steps < 0.1


def test_children_have_the_brightness_of_their_parents() -> None:
    light, dark = torch.full((400, 1, 8, 8), 0.9), torch.full((400, 1, 8, 8), 0.1)
    of_light = children(light, light, photos(400, side=8), rng())
    of_dark = children(dark, dark, photos(400, side=8), rng())
    mixed = children(light, dark, photos(400, side=8), rng())
    assert of_light.mean() > mixed.mean() > of_dark.mean()


def test_black_stays_black_in_children() -> None:
    black = torch.zeros(100, 1, 8, 8)
    assert children(black, black, photos(100, side=8), rng()).max() == 0


def test_repeated_images_are_found_by_their_keys() -> None:
    x = (photos(50) * 255).byte()
    twice = torch.cat([x[:10], x[5:20], x[30:35]])
    found = unseen(keys_of(twice), keys_of(x[12:15]))
    assert found.tolist() == [True] * 10 + [False] * 5 + [True] * 2 + [False] * 3 + [True] * 10
    other = x.clone()
    other[:, 0, 0, 0] ^= 1
    assert not torch.isin(keys_of(other), keys_of(x)).any()


def test_only_the_given_generator_draws() -> None:
    before = torch.get_rng_state()
    for make in MAKERS.values():
        make(photos(5), rng())
    keys_of((photos(5) * 255).byte())
    assert torch.equal(torch.get_rng_state(), before)
    assert image_mutation.__doc__
