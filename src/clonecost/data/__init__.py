"""Data sets as tensors: published ones by name, a user's own by path; fitting and overlap."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
