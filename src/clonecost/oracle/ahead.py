"""What the oracle does so that a GPU never waits for the ledger.

A row is charged, durably, before its answer is seen. For a remote victim that means before it is
sent. A victim of this process on a GPU may be asked earlier: the GPU computes by itself while the
host digests and charges the rows, and its answers lie in memory that dies with the process. They
are handed out once the charge is durable, and dropped if it fails.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache

import torch
from torch import Tensor

from clonecost.persistence.cores import allowed_cores
from clonecost.types import Victim

HASHING = 8  # threads that digest rows, at most: more would wait for each other


def _of_the_cpu() -> list[Tensor]:
    return [torch.get_rng_state()]


@dataclass
class OwnRandomness:
    """The victim's random states, kept apart from the attack's: a replay draws nothing.

    Attributes:
        states: of the CPU, and of a GPU once rows came from one.
    """

    states: list[Tensor] = field(default_factory=_of_the_cpu)

    @contextmanager
    def of(self, device: torch.device) -> Iterator[None]:
        """The victim's states inside the `with`, for rows on this device."""
        attacks = _states(device)
        _set_states(device, self.states + attacks[len(self.states) :])
        try:
            yield
        finally:
            self.states = _states(device)
            _set_states(device, attacks)


@dataclass(frozen=True)
class Begun:
    """What a victim returned, or how it failed, before its rows were charged."""

    raw: Tensor | None = None
    failure: Exception | None = None

    def answers(self) -> Tensor:
        """The victim's answers.

        Raises:
            Exception: what the victim raised.
        """
        if self.failure is not None:
            raise self.failure
        assert self.raw is not None
        return self.raw


def begin(victim: Victim, inputs: Tensor, randomness: OwnRandomness) -> Begun:
    """Ask a victim of this process; a failure is kept until its rows are charged."""
    try:
        with torch.no_grad(), randomness.of(inputs.device):
            return Begun(victim(inputs))
    except Exception as error:
        return Begun(failure=error)


def hashing_threads(device: torch.device) -> int:
    """Threads that digest the rows of this device: one where the processor is the device."""
    return _spare() if device.type == "cuda" else 1


@cache
def _spare() -> int:
    return max(1, min(HASHING, int(allowed_cores())))


def _states(device: torch.device) -> list[Tensor]:
    on_gpu = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
    return [torch.get_rng_state(), *on_gpu]


def _set_states(device: torch.device, states: Sequence[Tensor]) -> None:
    torch.set_rng_state(states[0])
    for state in states[1:] if device.type == "cuda" else []:
        torch.cuda.set_rng_state(state, device)
