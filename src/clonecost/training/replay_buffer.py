"""What was bought, to be learnt from again: a ring of fixed size, one byte a pixel."""

from typing import Any

import torch
from torch import Tensor

from clonecost.types import Shape, as_pixels


class Replay:
    """The last `capacity` rows that were bought, with their answers.

    Rows are kept as 8-bit images, so an attack that replays must round them (`types.as_bytes`)
    before it asks: then what is learnt from is what was answered, exactly. A row takes
    C*H*W + 4 K bytes, allocated at once: 3,112 bytes for (3, 32, 32) and K = 10.
    """

    def __init__(self, capacity: int, shape: Shape, num_classes: int, device: torch.device) -> None:
        self._images = torch.empty(capacity, *shape, dtype=torch.uint8, device=device)
        self._answers = torch.empty(capacity, num_classes, device=device)
        self._added = 0

    def __len__(self) -> int:
        return min(self._added, len(self._images))

    def add(self, images: Tensor, answers: Tensor) -> None:
        """Keep (n, C, H, W) uint8 with (n, K); the oldest rows make way."""
        capacity = len(self._images)
        skipped = max(0, len(images) - capacity)
        first = self._added + skipped
        places = torch.arange(first, self._added + len(images), device=images.device) % capacity
        self._images[places] = images[skipped:]
        self._answers[places] = answers[skipped:]
        self._added += len(images)

    def draw(self, count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """(count, C, H, W) pixels in [0, 1] and (count, K): at random, with repetition."""
        picks = torch.randint(len(self), (count,), generator=rng, device=self._images.device)
        return as_pixels(self._images.index_select(0, picks)), self._answers.index_select(0, picks)

    def state_dict(self) -> dict[str, Any]:
        return {"images": self.images, "answers": self.answers, "added": self._added}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Of a ring of the same capacity."""
        self._added = state["added"]
        self.images.copy_(state["images"])
        self.answers.copy_(state["answers"])

    @property
    def images(self) -> Tensor:
        """(len, C, H, W) uint8, in no particular order once the ring is full."""
        return self._images[: len(self)]

    @property
    def answers(self) -> Tensor:
        """(len, K), in the order of `images`."""
        return self._answers[: len(self)]
