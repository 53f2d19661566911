"""Victims: functions from inputs to probabilities, loaded from Python, files or endpoints."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
