"""Fresh rows and rows that were bought before, as the batches that train a student."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from clonecost.oracle import Oracle
from clonecost.training.replay_buffer import Replay
from clonecost.types import ThreatModel, as_bytes, as_pixels


class Replayed:
    """The rows that an attack bought for its student, `steps` batches of which train it again.

    With `steps` 0 nothing is kept, and rows are sent as they are; else they are rounded to 8 bits
    before they are sent, so that a replayed row is exactly the sent one.
    """

    def __init__(self, steps: int, threat: ThreatModel, device: torch.device) -> None:
        self._steps = steps
        shape, classes = threat.input_shape, threat.num_classes
        self._rows = Replay(threat.query_budget, shape, classes, device) if steps else None

    def batches(
        self, oracle: Oracle, images: Tensor, size: int, rng: torch.Generator
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Ask `images`, (n, C, H, W) pixels, in one batch; yield them and replayed rows by `size`.

        Costs n queries.
        """
        if self._rows is not None:
            images = as_pixels(as_bytes(images))
        answers = oracle(images)
        yield from zip(images.split(size), answers.split(size), strict=True)
        if self._rows is not None:
            self._rows.add(as_bytes(images), answers)
            for _ in range(self._steps):
                yield self._rows.draw(size, rng)

    def state_dict(self) -> dict[str, Any]:
        return {} if self._rows is None else self._rows.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self._rows is not None:
            self._rows.load_state_dict(state)
