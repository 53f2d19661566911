import hashlib

import torch

from clonecost.data import DATASETS, load
from clonecost.data.synthetic_shapes import drawings


def test_shapes_are_drawn_alike_every_time_and_differ() -> None:
    card = DATASETS["shapes"]
    test = load("shapes", "test")
    assert test.inputs.shape == (card.test, *card.shape)
    assert test.inputs.dtype == torch.uint8
    assert test.labels.unique().tolist() == [0]
    again = drawings("test")
    assert torch.equal(again[torch.tensor([900, 0])], test.inputs[[900, 0]])
    # the images of earlier releases, whose runs hold their places
    digest = hashlib.sha256(test.inputs.numpy().tobytes()).hexdigest()
    assert digest.startswith("a1b325591f003f0b")
    assert len(test.inputs.flatten(1).unique(dim=0)) == card.test
    pixels = test.inputs.float()
    assert pixels.std((2, 3)).median() > 20  # shapes, not flat colour
    assert 110 < pixels.mean() < 145  # all colours as often
    # blurred and smooth: neighbours are nearer to each other than pixels far apart
    near = (pixels[..., 1:] - pixels[..., :-1]).abs().mean()
    far = (pixels[..., 16:] - pixels[..., :-16]).abs().mean()
    assert near < 0.7 * far
