"""Views of a picture: each by its own numbers, some of them mixed from two patches."""

import pytest
import torch

from clonecost.query_synthesis.picture_views import NUMBERS, ViewSettings, views_of

PLAIN = ViewSettings(scale=1.0, turn=0.0, jitter=0.0, cutmix=0.0)


def numbers(rows: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(rows, NUMBERS, generator=torch.Generator().manual_seed(seed))


def picture(channels: int = 3, height: int = 48, width: int = 64) -> torch.Tensor:
    rng = torch.Generator().manual_seed(9)
    return torch.randint(256, (channels, height, width), generator=rng, dtype=torch.uint8)


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 12, 20), (3, 64, 40)])
def test_any_rows_in_any_order_are_those_of_the_whole(shape: tuple[int, ...]) -> None:
    views = views_of(picture(shape[0]), shape, ViewSettings(mixup=0.3), numbers(40))
    whole = views[:]
    assert (whole.shape, whole.dtype, views.shape) == ((40, *shape), torch.uint8, (40, *shape))
    index = torch.tensor([31, 2, 2, 7])
    assert torch.equal(views[index], whole[index])
    assert views[torch.tensor([], dtype=torch.int64)].shape == (0, *shape)
    assert len({row.numpy().tobytes() for row in whole}) == 40
    assert whole.float().std((1, 2, 3)).gt(3).all()  # no blank view of noise


def test_a_view_of_all_is_the_picture_or_its_mirror_image() -> None:
    """Without a change and as large as the picture, pixel by pixel."""
    source = picture(3, 16, 16)
    views = views_of(source, (3, 16, 16), PLAIN, numbers(20))[:]
    mirrored = [torch.equal(view, source.flip(2)) for view in views]
    assert 3 < sum(mirrored) < 17
    assert all(
        torch.equal(v, source.flip(2) if m else source)
        for v, m in zip(views, mirrored, strict=True)
    )


def test_a_patch_shows_its_share_of_the_picture_and_nothing_beside_it() -> None:
    """In a picture of slopes, the differences between neighbours are the scale of a patch."""
    slope = torch.arange(200).expand(1, 200, 200).to(torch.uint8)
    settings = ViewSettings(scale=0.04, turn=0.0, jitter=0.0, cutmix=0.0)
    views = views_of(slope, (1, 20, 20), settings, numbers(200))[:].float()
    steps = (views[:, 0, 10, -1] - views[:, 0, 10, 0]).abs() / 19  # pixels of the picture, each
    assert steps.min() > 1.8
    assert steps.max() < 10.2
    assert 3.5 < steps.median() < 5.5  # log-uniform between 2 and 10
    assert views.min() >= 0
    assert views.max() < 200


def test_mixed_views_are_made_of_two_patches() -> None:
    black_and_white = torch.zeros(1, 64, 64, dtype=torch.uint8)
    black_and_white[:, :, 32:] = 255
    fine = {"scale": 0.001, "turn": 0.0, "jitter": 0.0}
    shares = {}
    for name, settings in {
        "none": ViewSettings(**fine, cutmix=0.0),
        "cutmix": ViewSettings(**fine, cutmix=1.0),
        "mixup": ViewSettings(**fine, cutmix=0.0, mixup=1.0),
    }.items():
        views = views_of(black_and_white, (1, 16, 16), settings, numbers(300))[:]
        extreme = (views == 0) | (views == 255)
        one_tone = (views == views[:, :, :1, :1]).flatten(1).all(1)
        shares[name] = (extreme.float().mean().item(), one_tone.float().mean().item())
    assert shares["cutmix"][1] < shares["none"][1] - 0.15  # boxes of the other tone
    assert shares["cutmix"][0] > 0.9
    assert shares["mixup"][0] < shares["none"][0] - 0.15  # greys


def test_colours_change_by_at_most_the_jitter_and_are_inverted() -> None:
    grey = torch.full((3, 32, 32), 100, dtype=torch.uint8)
    jittered = ViewSettings(scale=0.5, jitter=0.5, cutmix=0.0)
    means = views_of(grey, (3, 8, 8), jittered, numbers(200))[:].float().mean((2, 3))
    assert means.min() >= 100 * 0.25 - 1
    assert means.max() <= 100 * 2.25 + 1
    assert (means.amax(1) - means.amin(1)).mean() > 10  # each channel by itself
    inverted = ViewSettings(jitter=0.0, cutmix=0.0, invert=1.0)
    assert (views_of(grey, (3, 8, 8), inverted, numbers(9))[:] == 155).all()
