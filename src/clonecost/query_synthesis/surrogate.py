"""Surrogates: students that an attack trains along the way to select queries."""

from typing import Any

import torch
from torch import Tensor, nn

from clonecost.query_synthesis.active_selection import probabilities
from clonecost.training.losses import kl
from clonecost.training.optimisers import AdamW
from clonecost.types import as_pixels


class Surrogate:
    """A student trained further as answers arrive, by AdamW on the mean KL(answers || student).

    It is not handed over as a clone and not scored.

    Args:
        student: untrained; it is trained in place.
        lr: learning rate.
        batch_size: rows of a step.
        rng: on the student's device; draws the rows of each step.

    Example:
        >>> surrogate = Surrogate(
        ...     nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), lr=1e-3, batch_size=8,
        ...     rng=torch.Generator(),
        ... )
        >>> surrogate.learn(torch.rand(20, 1, 2, 2), torch.eye(2).repeat(10, 1), seen=16)
        >>> surrogate.answers(torch.rand(3, 1, 2, 2)).shape
        torch.Size([3, 2])
    """

    def __init__(
        self, student: nn.Module, *, lr: float, batch_size: int, rng: torch.Generator
    ) -> None:
        self.student, self._batch_size, self._rng = student, batch_size, rng
        self._optimizer = AdamW(student.parameters(), lr, weight_decay=0.01, fused=True)

    def learn(self, inputs: Tensor, answers: Tensor, *, seen: int) -> None:
        """Train on `seen` rows, rounded up to whole batches, drawn from the given ones.

        Args:
            inputs: (n, *shape), uint8 or pixels in [0, 1].
            answers: (n, K), rows on the simplex.
        """
        steps = -(-seen // self._batch_size)
        picks = torch.randint(
            len(inputs), (steps, self._batch_size), generator=self._rng, device=inputs.device
        )
        for pick in picks:
            x, y = inputs.index_select(0, pick), answers.index_select(0, pick)
            loss = kl(self.student(as_pixels(x)), y).mean()
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        return {"student": self.student.state_dict(), "optimizer": self._optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.student.load_state_dict(state["student"])
        self._optimizer.load_state_dict(state["optimizer"])

    def answers(self, inputs: Tensor) -> Tensor:
        """(n, *shape), uint8 or pixels in [0, 1] -> (n, K) probabilities, in eval mode."""
        return probabilities(self.student, inputs)
