"""Victims at the other end of a wire: HTTP endpoints, asked slowly, openly and with permission."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
