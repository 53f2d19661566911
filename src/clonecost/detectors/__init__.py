"""Detectors: functions of the ledger. A new one needs its file and its page."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
