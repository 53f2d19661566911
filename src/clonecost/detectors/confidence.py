"""Confidence: the victim is more, or less, sure of an account's rows than of benign rows.

Two Kolmogorov-Smirnov distances between the account's rows and benign rows: of the largest
probability and of the entropy. Each counts beyond what chance explains,

    D - c sqrt((n + m) / (n m)),    c = sqrt(-ln(level / 2) / 2),

and the larger of the two is the statistic. A constant limit on D would alarm on every short
account; a constant level would alarm on every honest user who looks often enough.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from clonecost.detectors.base import Declaration, Numbers, Stream, Watch, looks

DECIMALS = 4  # sums of probabilities differ in the last digits on another machine


@dataclass(frozen=True, kw_only=True)
class Confidence:
    """How far the victim's confidence on an account's rows is from that on benign rows.

    Example:
        >>> Confidence(level=0.05).level
        0.05
    """

    level: float = 0.01  # chance of a larger distance between two benign samples

    declares: ClassVar = Declaration(reads="answers", keeps_state=True)

    def cannot(self, stream: Stream) -> str:
        return "" if stream.confidence is not None else "the answers are labels without confidence"

    def learn(self, reference: Stream, accounts: Iterable[Stream]) -> Watch:
        benign = [np.sort(score) for score in scores(reference)]
        chance = np.sqrt(-np.log(self.level / 2) / 2)

        def watch(stream: Stream) -> Numbers:
            at = looks(len(stream))
            found = np.full(len(at), -1.0)
            for score, known in zip(scores(stream), benign, strict=False):
                noise = chance * np.sqrt((at + len(known)) / (at * len(known)))
                found = np.maximum(found, ks_at_looks(score, known) - noise)
            return found

        return watch


def scores(stream: Stream) -> list[Numbers]:
    """The largest probability of each answer and, when all are known, the entropy in nats."""
    assert stream.confidence is not None
    found = [stream.confidence.astype(np.float64).round(DECIMALS)]
    if stream.answers is not None:
        p = stream.answers
        entropy = -(p * np.log(np.maximum(p, np.float32(1e-12)))).sum(1)
        found.append(entropy.astype(np.float64).round(DECIMALS))
    return found


def ks_at_looks(score: Numbers, reference: NDArray[np.float64]) -> Numbers:
    """The two-sample KS distance of the first n scores and the reference, n at each look.

    As `scipy.stats.ks_2samp(score[:n], reference).statistic`, for all looks at once.

    Args:
        score: (n,).
        reference: (m,), sorted.
    """
    at = looks(len(score))
    values, place = np.unique(score, return_inverse=True)
    # how many of the first n scores are at most each value: (looks, values)
    segment = np.searchsorted(at, np.arange(len(score)), side="right")
    inside = segment < len(at)
    width = len(values)
    key = segment[inside] * width + place.ravel()[inside]
    counted = np.bincount(key, minlength=len(at) * width).reshape(len(at), width)
    upto = counted.cumsum(0).cumsum(1) / at[:, None]
    below = np.concatenate([np.zeros((len(at), 1)), upto[:, :-1]], axis=1)
    known = np.searchsorted(reference, values, side="right") / len(reference)
    known_below = np.searchsorted(reference, values, side="left") / len(reference)
    distance = np.maximum(np.abs(upto - known), np.abs(below - known_below))
    return distance.max(1, initial=0.0).astype(np.float64)
