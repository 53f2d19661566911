"""Objects that Python imports by name: `package.module:name`, or `path/to/file.py:name`."""

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from clonecost.errors import Advice, CloneCostError
from clonecost.persistence.file_limits import at_home, regular_file
from clonecost.safe_text import first_line


def imported(where: str, what: str, error: type[CloneCostError]) -> object:
    """The object `package.module:name`, or the one that `package.module:name()` returns.

    The module may also be a file: `path/to/file.py:name`, whose folder is searched for its imports.
    Importing runs the module's code.

    Args:
        what: what the object is for, such as "Victim": messages begin with it.
        error: the class of the error, by what the object is for.

    Raises:
        CloneCostError: the import or the call failed, or the module has no such name.

    Example:
        >>> imported("my_models:make_network()", "Victim", VictimError)
    """
    module_name, _, name = where.rpartition(":")
    attribute = name.removesuffix("()")
    file = at_home(module_name) if module_name.endswith(".py") else None
    if file is not None:
        regular_file(file, error)
    with _importable(Path.cwd() if file is None else file.resolve().parent):
        try:
            module = importlib.import_module(module_name) if file is None else _of_file(file)
        except Exception as problem:  # the module's own code may raise anything
            if (
                isinstance(problem, ModuleNotFoundError)
                and problem.name == module_name.split(".")[0]
            ):
                raise error(
                    f"{what} {where!r}: there is no Python module {module_name!r} in the current "
                    "folder, and none is installed",
                    Advice("check the name, or go to the folder of the module"),
                ) from problem
            raise error(
                f"{what} {where!r}: importing {module_name!r} failed: "
                f"{type(problem).__name__}: {first_line(problem)}"
            ) from problem
        try:
            member = getattr(module, attribute)
        except AttributeError as problem:
            raise error(
                f"{what} {where!r}: {module_name!r} has no {attribute!r}",
                want=f"one of {', '.join(_public(module)) or 'no public name'}",
            ) from problem
        if attribute == name:
            return member
        try:
            return member()
        except Exception as problem:
            raise error(
                f"{what} {where!r}: calling {attribute}() without arguments failed: "
                f"{type(problem).__name__}: {first_line(problem)}"
            ) from problem


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
