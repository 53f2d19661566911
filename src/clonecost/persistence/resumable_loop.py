"""Loops that continue in the middle after the run was killed.

A long loop, of an attack or a training, declares once the state on which its next iteration
depends:

    for iteration in kit.loop(lambda done: oracle.remaining >= cost, student=student, rng=rng):

Between two iterations a checkpoint can save this state, and later restore it into the same objects.
`plain` is the loop without checkpoints.
"""

from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Stateful(Protocol):
    """An object with a saved state: a network, an optimiser, a schedule, or a class of ours."""

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: Any, /) -> Any: ...


class Loop(Protocol):
    def __call__(self, more: Callable[[int], bool], /, **state: Any) -> Iterator[int]:
        """Number the iterations from 0, as long as `more(iterations done)` is true.

        Args:
            state: everything that an iteration passes on to later ones, except the kit's own random
                numbers. Each part is `Stateful`, a `torch.Generator`, a list of such parts, or a
                list or dict of plain values and tensors, which is changed in place; or None.
        """
        ...


def plain(more: Callable[[int], bool], /, **state: Any) -> Iterator[int]:
    """A loop without checkpoints.

    Example:
        >>> list(plain(lambda done: done < 3))
        [0, 1, 2]
    """
    done = 0
    while more(done):
        yield done
        done += 1
