"""PRADA: the distances of each row to the account's earlier ones stop looking normal.

Juuti, Szyller, Marchal, Asokan, EuroS&P 2019, https://arxiv.org/abs/1805.02628.

    For a row x of predicted class c:   d = min over G_c of |x - g|_2
    if d > T_c:   G_c = G_c + {x},   T_c = max(T_c, mean - std of the distances of G_c)
    W = Shapiro-Wilk statistic of all d within 3 std, of classes with 10 distances or more

The statistic is 1 - W. It finds synthetic changes of images (JBDA, finite differences); it misses
pools, noise and generators, whose distances look as normal as those of honest users, and it takes
videos for attacks.
Differs from the paper: see docs/detectors/prada.md.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.stats import shapiro

from clonecost.detectors.base import NO_VERDICT, Declaration, Numbers, Stream, Watch, looks

MOST = 5_000  # distances: beyond, SciPy's statistic is not accurate


@dataclass(frozen=True, kw_only=True)
class Prada:
    """How far the distances between the rows of an account are from a normal distribution.

    Example:
        >>> Prada(fewest=100).fewest
        100
    """

    fewest: int = 100  # distances; up to that many there is no verdict
    per_class: int = 10  # distances of a class, below which the class does not count
    outliers: float = 3.0  # distances this many standard deviations off are dropped

    declares: ClassVar = Declaration(reads="both", keeps_state=True)

    def cannot(self, stream: Stream) -> str:
        if stream.inputs is None:
            return "it compares inputs, which were not kept"
        return ""

    def learn(self, reference: Stream, accounts: Iterable[Stream]) -> Watch:
        return self._watch

    def _watch(self, stream: Stream) -> Numbers:
        at = looks(len(stream))
        if at.size == 0 or at[-1] <= self.fewest:
            return np.full(len(at), NO_VERDICT)
        distances = np.full(len(stream), np.nan)
        rows = stream.pixels().reshape(len(stream), -1)
        for label in np.unique(stream.top):
            of_class = np.flatnonzero(stream.top == label)
            distances[of_class] = distances_to_growing_set(rows[of_class])
        return np.array([self._statistic(distances[:n], stream.top[:n]) for n in at])

    def _statistic(self, distances: Numbers, top: NDArray[np.int64]) -> float:
        known = np.isfinite(distances)
        if known.sum() <= self.fewest:
            return NO_VERDICT
        enough = np.bincount(top[known], minlength=int(top.max()) + 1) >= self.per_class
        chosen = distances[known & enough[top]]
        spread = chosen.std() if len(chosen) else 0.0
        chosen = chosen[np.abs(chosen - chosen.mean()) < self.outliers * spread] if spread else []
        if len(chosen) <= self.fewest:
            return NO_VERDICT
        return 1.0 - float(shapiro(chosen[:MOST]).statistic)


def distances_to_growing_set(rows: NDArray[np.floating[Any]]) -> Numbers:
    """PRADA's distance of each row to the growing set of one class: (n,); the first has none, NaN.

    Whether a row joins the set depends on the rows before it only, so that the memberships of all
    rows are computed at once, from assumed memberships, until they agree: each pass settles at
    least one more row, and a few passes settle all.

    Args:
        rows: (n, d), in their order.
    """
    count = len(rows)
    rows = rows.astype(np.float64)  # in float32, nearly equal rows have no distance
    squares = (rows**2).sum(1)
    between = squares[:, None] + squares[None] - 2.0 * (rows @ rows.T)
    between = np.sqrt(np.maximum(between, 0.0, out=between), out=between)
    between[np.triu_indices(count)] = np.inf  # a row is compared with the rows before it
    joined = np.ones(count, bool)
    while True:
        nearest = np.where(joined[None], between, np.inf).min(1)  # the first row has none: inf
        again = np.ones(count, bool)
        again[1:] = nearest[1:] > _thresholds(nearest, joined)[1:]
        if np.array_equal(again, joined):
            nearest[0] = np.nan
            return nearest
        joined = again


def _thresholds(distances: Numbers, joined: NDArray[np.bool_]) -> Numbers:
    """(n,) T before each row: the largest mean - std so far of the members' distances."""
    member = joined.copy()
    member[0] = False  # the first has no distance
    held = np.where(member, np.where(np.isfinite(distances), distances, 0.0), 0.0)
    number = np.maximum(member.cumsum(), 1)
    mean = held.cumsum() / number
    std = np.sqrt(np.maximum((held**2).cumsum() / number - mean**2, 0.0))
    after = np.maximum.accumulate(np.where(member, mean - std, 0.0))
    return np.concatenate([[0.0], after[:-1]])
