"""Loops that a killed run can take up in the middle.

Whoever loops for long, an attack or a training, says once what its next iteration depends on:

    for iteration in kit.loop(lambda done: oracle.remaining >= cost, student=student, rng=rng):

and between two iterations all of it can be written down, and later put back into the same objects.
Where nobody keeps anything, `plain` is what runs.
"""

from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Stateful(Protocol):
    """A network, an optimiser, a schedule, or a class of ours that says what it holds."""

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: Any, /) -> Any: ...


class Loop(Protocol):
    def __call__(self, more: Callable[[int], bool], /, **state: Any) -> Iterator[int]:
        """Number the iterations from 0 for as long as `more(iterations done)` says.

        Args:
            state: everything that an iteration leaves to later ones, but for the kit's own random
                numbers. Each part is `Stateful`, a `torch.Generator`, a list of such parts, or a
                list or dict of plain values and tensors, which is changed in place; or None.
        """
        ...


def plain(more: Callable[[int], bool], /, **state: Any) -> Iterator[int]:
    """A loop of which nothing is kept."""
    done = 0
    while more(done):
        yield done
        done += 1
