"""Generators trained on the attacker's proxy data: latents -> images, one family per file."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
