"""Features that were made already, kept for a while: a run scores each clone on the same rows.

A batch is known again by its bytes, so that what is handed out is bit for bit what would be made.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from torch import Tensor

MOST = 64 << 20  # bytes of features: some 13,000 pictures of 1,280 features


class FeatureMemo:
    """The features of the batches seen last, of one network with fixed weights.

    Copies of a module share it.

    Args:
        most: bytes of features that are kept.

    Example:
        >>> memo = FeatureMemo()
        >>> memo.features(pixels, encoder) is memo.features(pixels, encoder)  # doctest: +SKIP
        True
    """

    def __init__(self, most: int = MOST) -> None:
        self._most, self._held = most, 0
        self._known: OrderedDict[bytes, Tensor] = OrderedDict()
        self._lock = Lock()  # a served model answers in several threads

    def __deepcopy__(self, memo: dict[int, object]) -> "FeatureMemo":
        return self

    def __reduce__(self) -> "tuple[type[FeatureMemo], tuple[int]]":
        return FeatureMemo, (self._most,)  # another process begins with an empty one

    def features(self, pixels: Tensor, make: Callable[[Tensor], Tensor]) -> Tensor:
        """What `make` gives for the pixels, made once while it is kept; not to be changed in place.

        Args:
            pixels: on the CPU.
        """
        rows = pixels.contiguous()
        key = hashlib.blake2b(rows.numpy().data, digest_size=20)
        key.update(f"{rows.dtype} {tuple(rows.shape)}".encode())
        name = key.digest()
        with self._lock:
            found = self._known.get(name)
            if found is not None:
                self._known.move_to_end(name)
                return found
        found = make(pixels)
        with self._lock:
            if name not in self._known:
                self._known[name] = found
                self._held += found.nbytes
            while self._held > self._most and len(self._known) > 1:
                self._held -= self._known.popitem(last=False)[1].nbytes
        return found


_MEMOS: dict[tuple[object, ...], FeatureMemo] = {}


def memo_of(*network: object) -> FeatureMemo:
    """The memo that all backbones with these weights, input and normalisation share."""
    return _MEMOS.setdefault(network, FeatureMemo())
