"""Networks of the papers: pixels in [0, 1] -> logits, and latents -> images, a family per file."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
