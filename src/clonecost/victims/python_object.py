"""Victims that Python imports by name: `package.module:name`, also from the current folder."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from clonecost.errors import Advice, VictimError
from clonecost.types import Victim
from clonecost.victims.torch_model import Outputs, as_victim_error, open_network, torch_victim


def python_object(where: str) -> object:
    """The object `package.module:name`, or the one that `package.module:name()` returns.

    Importing runs the module's code.

    Raises:
        VictimError: the import or the call failed, or the module has no such name.

    Example:
        >>> python_object("my_models:make_network()")
    """
    module_name, _, name = where.partition(":")
    attribute = name.removesuffix("()")
    with _current_folder_importable():
        try:
            module = importlib.import_module(module_name)
        except Exception as error:  # the module's own code may raise anything
            raise VictimError(
                f"Victim {where!r}: importing {module_name!r} failed: "
                f"{type(error).__name__}: {error}"
            ) from error
        try:
            member = getattr(module, attribute)
        except AttributeError as error:
            raise VictimError(
                f"Victim {where!r}: {module_name!r} has no {attribute!r}",
                want=f"one of {', '.join(_public(module)) or 'no public name'}",
            ) from error
        if attribute == name:
            return member
        try:
            return member()
        except Exception as error:
            raise VictimError(
                f"Victim {where!r}: calling {attribute}() without arguments failed: "
                f"{type(error).__name__}: {error}"
            ) from error


def object_victim(
    model: object, where: str, *, outputs: Outputs | None, device: torch.device | str
) -> tuple[Victim, nn.Module | None]:
    """A victim out of an `nn.Module` or any other callable, and the network for a white box.

    Args:
        model: a module or a callable, (n, *input_shape) -> (n, K).
        where: its name, for messages.
        outputs: what the model returns; None: logits for a module, probabilities for any other
            callable.

    Returns:
        The victim; the network, (n, *input_shape) -> (n, K) logits, or None if `model` is no
        module.

    Raises:
        VictimError: `model` is neither of the two.
    """
    if isinstance(model, nn.Module):
        kind = outputs or "logits"
        return torch_victim(model, outputs=kind, device=device), open_network(model, kind)
    if isinstance(model, type):
        raise VictimError(f"Victim {where!r} is a class", Advice(f"write {where + '()'!r}"))
    if not callable(model):
        raise VictimError(
            f"Victim {where!r} cannot answer", got=type(model).__name__,
            want="an nn.Module, a scikit-learn estimator, or a callable from inputs to "
            "probabilities",
        )  # fmt: skip

    def answer(inputs: Tensor, /) -> Tensor:
        with torch.no_grad(), as_victim_error(tuple(inputs.shape)):
            values = model(inputs)
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
