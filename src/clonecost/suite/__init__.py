"""Many audits side by side: a suite is data, a cell an ordinary audit, a number a run's result."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
