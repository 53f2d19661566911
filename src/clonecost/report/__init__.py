"""Run folders -> one self-contained HTML page, Markdown, or JSON. Pure functions of the runs."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
