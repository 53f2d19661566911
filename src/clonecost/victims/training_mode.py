"""Functions that use a network in training mode, found without asking them a row."""

import inspect
from collections.abc import Iterator
from functools import partial
from types import ModuleType

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

DEEPEST = 3  # a method of an object that holds a function that closes over a network


def trains(function: object) -> bool:
    """Whether a function, method or object names a network with active dropout or batch statistics.

    Such a network is one of this process, so that rows which show what it does cost nothing.

    Example:
        >>> net = nn.Sequential(nn.Linear(4, 2), nn.Dropout())
        >>> trains(lambda rows: net(rows)), trains(net.eval().forward)
        (True, False)
    """
    return any(map(_is_active, _networks(function, DEEPEST, set())))


def _is_active(network: nn.Module) -> bool:
    return any(part.training and _is_unsteady(part) for part in network.modules())


def _is_unsteady(layer: nn.Module) -> bool:
    return isinstance(layer, _BatchNorm) or (isinstance(layer, _DropoutNd) and layer.p > 0)


def _networks(thing: object, depth: int, seen: set[int]) -> Iterator[nn.Module]:
    if isinstance(thing, nn.Module):
        yield thing
        return
    if depth == 0 or id(thing) in seen:
        return
    seen.add(id(thing))
    for part in _named(thing):
        yield from _networks(part, depth - 1, seen)


def _named(thing: object) -> Iterator[object]:
    """What an object reaches by name: its object, what it closes over, globals that it names."""
    if isinstance(thing, partial):
        yield from (thing.func, *thing.args, *thing.keywords.values())
    elif inspect.ismethod(thing):
        yield from (thing.__self__, thing.__func__)
    elif inspect.isfunction(thing):
        try:
            found = inspect.getclosurevars(inspect.unwrap(thing))
        except ValueError:  # it closes over a name that has no value yet, or wraps itself
            return
        yield from (*found.nonlocals.values(), *found.globals.values())
    elif not isinstance(thing, type | ModuleType) and hasattr(thing, "__dict__"):
        yield from (*vars(thing).values(), type(thing).__call__ if callable(thing) else None)
