"""Countermeasures: what an attacker who knows the defences does to the answers. One file each."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
