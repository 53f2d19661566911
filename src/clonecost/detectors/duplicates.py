"""Duplicates: the share of rows that repeat an earlier row of the account, or nearly do.

Attacks by finite differences, by averaging and by search ask for the same row, or almost the same
row, many times. A row is a duplicate if its digest was seen before; with inputs, also if an earlier
image has nearly the same average hash (8 x 8 averages, one bit each: above the image's mean) and
nearly the same averages. Users who send the frames of a video do the same: calibrate with them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from clonecost.detectors.base import Declaration, Numbers, Stream, Watch, looks

SIDE = 8
BLOCK = 1_024  # rows that are compared with all earlier rows at once


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """The share of rows that repeat an earlier row of the account.

    Example:
        >>> Duplicates(bits=0).bits
        0
    """

    bits: int = 3  # of the 64 of an average hash that may differ between near-duplicates
    change: float = 0.1  # largest difference of two 8 x 8 averages, in pixels of [0, 1]

    declares: ClassVar = Declaration(reads="inputs", keeps_state=True)

    def cannot(self, stream: Stream) -> str:
        return ""

    def learn(self, reference: Stream, accounts: Iterable[Stream]) -> Watch:
        return self._watch

    def _watch(self, stream: Stream) -> Numbers:
        at = looks(len(stream))
        repeated = repeats(stream.digests)
        if stream.inputs is not None and stream.inputs.ndim == 4:
            repeated |= self._nearly(stream.pixels())
        return repeated.cumsum()[at - 1] / at

    def _nearly(self, images: NDArray[np.float32]) -> NDArray[np.bool_]:
        """(n,) whether an earlier image is nearly the same."""
        averages = averages_8x8(images)
        signs = np.where(averages > averages.mean(1, keepdims=True), 1, -1).astype(np.float32)
        found = np.zeros(len(images), bool)
        width = signs.shape[1]
        for start in range(0, len(images), BLOCK):
            block = signs[start : start + BLOCK]
            alike = block @ signs[: start + len(block)].T  # 64 - 2 x bits that differ
            np.copyto(alike[:, start:], -np.inf, where=_not_before(len(block)))
            near = np.flatnonzero(alike.max(1) >= width - 2 * self.bits)
            nearest = alike[near].argmax(1)
            differ = np.abs(averages[start + near] - averages[nearest]).max(1, initial=0.0)
            found[start + near] = differ <= self.change
        return found


@cache
def _not_before(count: int) -> NDArray[np.bool_]:
    """(count, count) whether the second row is the first one itself, or comes after it."""
    return ~np.tri(count, k=-1, dtype=bool)


def repeats(digests: NDArray[np.void]) -> NDArray[np.bool_]:
    """(n,) whether a row was there before.

    Example:
        >>> repeats(np.frombuffer(bytes(32), dtype="V16")).tolist()
        [False, True]
    """
    words = digests.view(np.uint64).reshape(-1, 2)
    order = np.lexsort((words[:, 1], words[:, 0]))  # stable: equal rows stay in their order
    same = (words[order][1:] == words[order][:-1]).all(1)
    repeated = np.zeros(len(digests), bool)
    repeated[order[1:][same]] = True
    return repeated


def averages_8x8(images: NDArray[Any]) -> NDArray[np.float32]:
    """Grey images averaged to at most 8 x 8: (n, C, H, W) -> (n, at most 64)."""
    grey = images.mean(1)
    for axis in (1, 2):
        size = grey.shape[axis]
        if size > SIDE:
            edges = np.linspace(0, size, SIDE + 1).astype(int)
            grey = np.add.reduceat(grey, edges[:-1], axis=axis)
            shape = [1, 1, 1]
            shape[axis] = SIDE
            grey = grey / np.diff(edges).reshape(shape).astype(np.float32)
    return grey.reshape(len(images), -1).astype(np.float32)
