"""The spec of an audit: command line or TOML -> checked values -> audits."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
