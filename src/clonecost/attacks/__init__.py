"""Attacks, one method a file; `clonecost.registry` finds a new file by its name."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
