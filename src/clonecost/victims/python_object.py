"""Victims that Python imports by name: `package.module:name`, or `path/to/file.py:name`."""

from clonecost.errors import Advice, VictimError
from clonecost.persistence.python_import import imported


def python_object(where: str) -> object:
    """The object `package.module:name`, or the one that `package.module:name()` returns.

    Raises:
        VictimError: the import or the call failed, or the module has no such name.

    Example:
        >>> python_object("my_models:make_network()")
    """
    return imported(where, "Victim", VictimError)


def check_callable(model: object, where: str) -> None:
    """Refuse what cannot answer.

    Raises:
        VictimError: `model` is a class, or no callable.
    """
    if isinstance(model, type):
        raise VictimError(f"Victim {where!r} is a class", Advice(f"write {where + '()'!r}"))
    if not callable(model):
        raise VictimError(
            f"Victim {where!r} cannot answer", got=type(model).__name__,
            want="an nn.Module, a scikit-learn estimator, or a callable from inputs to "
            "probabilities",
        )  # fmt: skip
