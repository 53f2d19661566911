"""Attacks: one paper a file. Adding one = one file; `clonecost.registry` finds it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
