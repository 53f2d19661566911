"""Many audits as one table: a suite is data, every cell an ordinary audit, every number a run's."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
