"""The oracle between an attack and the victim: checks, accounts, ledger.

`Oracle` is loaded on demand: a record is read and verified without torch.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from clonecost.oracle.oracle import Oracle as Oracle

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"oracle": ["Oracle"]})
