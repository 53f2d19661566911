"""One audit: a victim, its defences, one attack, one budget -> one run folder."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
