"""Victims by name: `package.module:name`, also from the current folder."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from clonecost.errors import VictimError
from clonecost.types import Victim
from clonecost.victims.torch_model import Outputs, failures_named, open_network, torch_victim


def python_object(where: str) -> object:
    """What is called `package.module:name`, or made by `package.module:name()`.

    Importing runs the module's code.

    Raises:
        VictimError: nothing of that name can be imported, or making it failed.
    """
    module_name, _, name = where.partition(":")
    attribute = name.removesuffix("()")
    with _current_folder_importable():
        try:
            module = importlib.import_module(module_name)
        except Exception as error:  # the module's own code may raise anything
            raise VictimError(
                f"victim {where!r}: importing {module_name!r} failed: "
                f"{type(error).__name__}: {error}"
            ) from error
        try:
            found = getattr(module, attribute)
        except AttributeError as error:
            raise VictimError(
                f"victim {where!r}: {module_name!r} has no {attribute!r}; "
                f"it has {', '.join(_public(module)) or 'nothing public'}"
            ) from error
        if attribute == name:
            return found
        try:
            return found()
        except Exception as error:
            raise VictimError(
                f"victim {where!r}: calling {attribute}() without arguments failed: "
                f"{type(error).__name__}: {error}"
            ) from error


def object_victim(
    found: object, where: str, *, outputs: Outputs | None, device: torch.device | str
) -> tuple[Victim, nn.Module | None]:
    """A victim out of an `nn.Module` or any other callable.

    A module's `outputs` are logits unless it is said that they are probabilities, those of any
    other callable are probabilities unless it is said that they are logits. The network beside it,
    for a white box, is None unless the victim is a module.

    Raises:
        VictimError: it is neither of the two.
    """
    if isinstance(found, nn.Module):
        kind = outputs or "logits"
        return torch_victim(found, outputs=kind, device=device), open_network(found, kind)
    if isinstance(found, type):
        raise VictimError(f"victim {where!r} is a class; write {where + '()'!r} to make one")
    if not callable(found):
        raise VictimError(
            f"victim {where!r} is a {type(found).__name__}; it must be an nn.Module, a "
            "scikit-learn estimator, or a callable from inputs to probabilities"
        )

    def answer(inputs: Tensor, /) -> Tensor:
        with torch.no_grad(), failures_named(tuple(inputs.shape)):
            values = found(inputs)
            return values.float().softmax(1) if outputs == "logits" else values

    return answer, None


def _public(module: object) -> list[str]:
    return [name for name in vars(module) if not name.startswith("_")][:10]


@contextmanager
def _current_folder_importable() -> Iterator[None]:
    here = str(Path.cwd())
    if here in sys.path:
        yield
        return
    sys.path.insert(0, here)
    importlib.invalidate_caches()  # the module may have been written a moment ago
    try:
        yield
    finally:
        sys.path.remove(here)
