"""The ring buffer keeps the last rows exactly and draws from them only."""

import torch

from clonecost.training.replay_buffer import Replay
from clonecost.types import as_bytes, as_pixels

SHAPE = (1, 2, 2)


def rows(start: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    values = torch.arange(start, start + count)
    images = values.view(-1, 1, 1, 1).expand(-1, *SHAPE).to(torch.uint8)
    return images, values.float().view(-1, 1).expand(-1, 3)


def kept(ring: Replay) -> set[int]:
    return set(ring.images[:, 0, 0, 0].tolist())


def test_new_rows_replace_the_oldest() -> None:
    ring = Replay(10, SHAPE, 3, torch.device("cpu"))
    ring.add(*rows(0, 4))
    assert len(ring) == 4
    assert kept(ring) == {0, 1, 2, 3}
    ring.add(*rows(4, 8))  # wraps around
    assert len(ring) == 10
    assert kept(ring) == set(range(2, 12))
    ring.add(*rows(12, 25))  # more than fits at once
    assert kept(ring) == set(range(27, 37))


def test_draws_rows_with_their_own_answers_in_pixels() -> None:
    ring = Replay(100, SHAPE, 3, torch.device("cpu"))
    ring.add(*rows(0, 30))
    images, answers = ring.draw(500, torch.Generator().manual_seed(0))
    assert images.shape == (500, *SHAPE)
    assert images.max() <= 1
    assert torch.equal(images[:, 0, 0, 0] * 255, answers[:, 0])
    assert len(set(answers[:, 0].tolist())) == 30  # every row, and no other


def test_rows_rounded_before_they_are_sent_are_kept_exactly() -> None:
    pixels = torch.rand(64, *SHAPE, generator=torch.Generator().manual_seed(1))
    images = as_bytes(pixels)
    sent = as_pixels(images)
    assert (sent - pixels).abs().max() <= 0.5 / 255 + 1e-6
    assert torch.equal(as_bytes(sent), images)
