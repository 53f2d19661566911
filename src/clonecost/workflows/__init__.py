"""What one does with run folders, a file for each: run, plan, replay, transfer, verify."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
