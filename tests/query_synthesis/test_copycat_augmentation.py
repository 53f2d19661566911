"""The 22 operators of Copycat CNN, by their effects on images with known results."""

import torch
from torch import Tensor

from clonecost.query_synthesis.copycat_augmentation import VIEWS, View, vary

MOVES = [
    place
    for place, view in enumerate(VIEWS)
    if view == View(**{key: getattr(view, key) for key in
                       ("rotate", "shear", "shift", "smallest", "crop", "flip", "warp")})
]  # fmt: skip


def by(which: int, images: Tensor, seed: int = 0) -> Tensor:
    places = torch.full((len(images),), which)
    return vary(images, places, torch.Generator().manual_seed(seed))


def images(count: int = 40, channels: int = 3) -> Tensor:
    rng = torch.Generator().manual_seed(1)
    return torch.randint(256, (count, channels, 12, 12), generator=rng, dtype=torch.uint8)


def test_there_are_22_and_each_draws_anew_for_every_row() -> None:
    assert len(VIEWS) == 22
    one = images(1).repeat(6, 1, 1, 1)
    for which in range(22):
        out = by(which, one)
        assert out.dtype == torch.uint8
        assert out.shape == one.shape
        assert len(out.unique(dim=0)) > 1 or VIEWS[which].sharpen, VIEWS[which]
        assert not torch.equal(out, one)


def test_operators_that_move_pixels_repeat_edges_and_add_no_colour() -> None:
    assert len(MOVES) == 15
    flat = torch.full((20, 1, 9, 9), 77, dtype=torch.uint8)
    for which in MOVES:
        assert torch.equal(by(which, flat), flat), VIEWS[which]


def test_mirrors() -> None:
    half = torch.zeros(400, 1, 10, 10, dtype=torch.uint8)
    half[..., 5:] = 200  # bright on the right
    for which, view in enumerate(VIEWS):
        out = by(which, half).float()
        mirrored = out[..., :5].mean((1, 2, 3)) > out[..., 5:].mean((1, 2, 3))
        assert abs(float(mirrored.float().mean()) - view.flip) < 0.07, view


def test_brightness_contrast_and_noise_stay_in_their_ranges() -> None:
    grey = torch.full((500, 1, 8, 8), 100, dtype=torch.uint8)
    added = by(VIEWS.index(View(add=(-20 / 255, 40 / 255))), grey).float() - 100
    assert (added.amin().item(), added.amax().item()) == (-20, 40)
    assert torch.equal(added.amin((1, 2, 3)), added.amax((1, 2, 3)))  # one value an image
    contrast = by(VIEWS.index(View(contrast=(1, 1.5))), grey).float()
    assert (contrast.amin().item(), contrast.amax().item()) == (86, 100)  # 127.5 - 1.5 * 27.5
    noise = (by(VIEWS.index(View(noise=0.08)), grey).float() - 100).std((1, 2, 3))
    assert 15 < float(noise.amax()) < 27  # 20.4, of 64 pixels
    assert float(noise.amin()) < 3


def test_blur_smooths_and_sharpening_roughens() -> None:
    x = images().float().mul(0.4).add(70).to(torch.uint8)

    def roughness(images: Tensor) -> Tensor:
        return images.float().diff(dim=3).abs().mean((1, 2, 3))

    assert (roughness(by(VIEWS.index(View(blur=(1, 1.5))), x)) < 0.5 * roughness(x)).all()
    assert (roughness(by(VIEWS.index(View(sharpen=1)), x)) >= roughness(x)).all()
    one = torch.zeros(1, 1, 9, 9, dtype=torch.uint8)
    one[..., 4, 4] = 255
    spot = by(VIEWS.index(View(blur=(1, 1.5))), one)
    assert 240 < int(spot.sum()) < 270  # rounded; the sum is kept
    assert torch.equal(spot, spot.transpose(2, 3))


def test_the_same_draws_give_the_same_copies() -> None:
    x, which = images(44), torch.arange(44) % 22
    out, again = (vary(x, which, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(out, again)


def test_two_changes_in_one_operator_are_one_after_the_other() -> None:
    x = images(8)
    both = by(VIEWS.index(View(flip=1, sharpen=1)), x)
    one_by_one = by(VIEWS.index(View(sharpen=1)), x.flip(3))
    torch.testing.assert_close(both.float(), one_by_one.float(), atol=2, rtol=0)
