"""Answered queries that an attack trains on again: a ring buffer with one byte a pixel."""

from typing import Any

import torch
from torch import Tensor

from clonecost.types import Shape, as_pixels


class Replay:
    """The last `capacity` rows that were paid for, with their answers.

    Rows are kept as 8-bit images. An attack that uses the buffer must therefore round its rows
    (`types.as_bytes`) before it sends them; then the stored row is exactly the answered one. A row
    takes C*H*W + 4 K bytes, allocated at once: 3,112 bytes for (3, 32, 32) and K = 10.

    Args:
        capacity: the largest number of rows.
        shape: (C, H, W) of a row.
        num_classes: K.
        device: where rows and answers are kept.

    Example:
        >>> replay = Replay(100, (1, 8, 8), 10, torch.device("cpu"))
        >>> replay.add(torch.zeros(3, 1, 8, 8, dtype=torch.uint8), torch.eye(10)[:3])
        >>> len(replay)
        3
    """

    def __init__(self, capacity: int, shape: Shape, num_classes: int, device: torch.device) -> None:
        self._images = torch.empty(capacity, *shape, dtype=torch.uint8, device=device)
        self._answers = torch.empty(capacity, num_classes, device=device)
        self._added = 0

    def __len__(self) -> int:
        return min(self._added, len(self._images))

    def add(self, images: Tensor, answers: Tensor) -> None:
        """Add (n, C, H, W) uint8 with (n, K) answers; they replace the oldest rows."""
        capacity = len(self._images)
        skipped = max(0, len(images) - capacity)
        first = self._added + skipped
        slots = torch.arange(first, self._added + len(images), device=images.device) % capacity
        self._images[slots] = images[skipped:]
        self._answers[slots] = answers[skipped:]
        self._added += len(images)

    def draw(self, count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """(count, C, H, W) pixels in [0, 1] and (count, K) answers, drawn with replacement."""
        picks = torch.randint(len(self), (count,), generator=rng, device=self._images.device)
        return as_pixels(self._images.index_select(0, picks)), self._answers.index_select(0, picks)

    def state_dict(self) -> dict[str, Any]:
        return {"images": self.images, "answers": self.answers, "added": self._added}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load the state of a buffer of the same capacity."""
        self._added = state["added"]
        self.images.copy_(state["images"])
        self.answers.copy_(state["answers"])

    @property
    def images(self) -> Tensor:
        """(len, C, H, W) uint8; the order is that of `add` until the ring is full."""
        return self._images[: len(self)]

    @property
    def answers(self) -> Tensor:
        """(len, K), in the order of `images`."""
        return self._answers[: len(self)]
