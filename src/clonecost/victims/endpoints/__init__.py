"""Victims behind HTTP: queried with permission, under the audit's name, and within a rate."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
