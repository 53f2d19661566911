"""Victims that Python imports by name: `package.module:name`, or `path/to/file.py:name`."""

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from clonecost.errors import Advice, VictimError
from clonecost.persistence.file_limits import at_home
from clonecost.safe_text import first_line
from clonecost.victims.loaded_victim import must_exist


def python_object(where: str) -> object:
    """The object `package.module:name`, or the one that `package.module:name()` returns.

    The module may also be a file: `path/to/file.py:name`, whose folder is searched for its imports.
    Importing runs the module's code.

    Raises:
        VictimError: the import or the call failed, or the module has no such name.

    Example:
        >>> python_object("my_models:make_network()")
    """
    module_name, _, name = where.rpartition(":")
    attribute = name.removesuffix("()")
    file = at_home(module_name) if module_name.endswith(".py") else None
    if file is not None:
        must_exist(file)
    with _importable(Path.cwd() if file is None else file.resolve().parent):
        try:
            module = importlib.import_module(module_name) if file is None else _of_file(file)
        except Exception as error:  # the module's own code may raise anything
            if isinstance(error, ModuleNotFoundError) and error.name == module_name.split(".")[0]:
                raise VictimError(
                    f"Victim {where!r}: there is no Python module {module_name!r} in the current "
                    "folder, and none is installed",
                    Advice("check the name, or go to the folder of the module"),
                ) from error
            raise VictimError(
                f"Victim {where!r}: importing {module_name!r} failed: "
                f"{type(error).__name__}: {first_line(error)}"
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
                f"{type(error).__name__}: {first_line(error)}"
            ) from error


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


def _public(module: object) -> list[str]:
    return [name for name in vars(module) if not name.startswith("_")][:10]


def _of_file(file: Path) -> ModuleType:
    """Run a file as a module of its own name, once in each process."""
    path = file.resolve()
    name = f"{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: its dataclasses look themselves up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    here = str(folder)
    if here in sys.path:
        yield
        return
    sys.path.insert(0, here)
    importlib.invalidate_caches()  # the module may have been written a moment ago
    try:
        yield
    finally:
        sys.path.remove(here)
