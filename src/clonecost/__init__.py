"""What does it cost to clone a classifier through its prediction API?

The public names are loaded on demand: torch takes a second, which `clonecost --help` must not wait.
They are listed in `__init__.pyi`, and nowhere else. The class of an attack or a defence that is not
listed there is found by its file: `clonecost.Dfme` is in `attacks/dfme.py`.
"""

from typing import Any

import lazy_loader

from clonecost.version import __version__ as __version__

_listed, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name in __all__ or not name[:1].isupper():
        return _listed(name)
    from clonecost.attacks import ATTACKS
    from clonecost.defences import DEFENCES
    from clonecost.registry import snake_case

    for parts in (ATTACKS, DEFENCES):
        if snake_case(name) in parts:
            return parts[snake_case(name)]
    return _listed(name)
