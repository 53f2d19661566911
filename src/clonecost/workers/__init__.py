"""Independent tasks at once: in processes of this machine, on Ray, or on SLURM."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
