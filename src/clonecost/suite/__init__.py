"""Suites: a grid of audits written as data, whose every number comes from a run's result."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
