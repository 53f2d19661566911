"""The difference of two shares that were measured on the same test rows."""

from math import hypot

import numpy as np
from numpy.typing import NDArray

from clonecost.evaluation.seed_interval import t_interval
from clonecost.result import Measured

RESAMPLES = 20_000
SEED = 0


def paired_difference(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> Measured:
    """The share of true entries in `after` minus that in `before`, with its 95 % interval.

    The interval is a bootstrap over rows that keeps all entries of a row together: both runs of
    every seed. With S seeds the sum of a row's differences is one of -S..S, so that the number of
    each in a resample is multinomial: drawing these numbers gives the same distribution as drawing
    the rows, for n rows in the time of 2 S + 1. The draws are seeded: the same rows give the same
    interval.

    With several seeds the interval also holds for other seeds: Student's interval of the seeds'
    differences is combined with that of the rows, as the root of the summed squares of their
    distances from the mean. Few seeds cannot be resampled: of three, a bootstrap is too narrow.

    Runs that no row tells apart have the interval from 0 to 0, which says that these test rows show
    no difference.

    Args:
        before, after: (n,), n > 0, the same rows in the same order; or (S, n), with the same seeds
            in the same order.

    Example:
        >>> first = np.array([True, False, False, True] * 25)
        >>> paired_difference(first, np.ones(100, dtype=bool)).value
        0.5
    """
    before, after = np.atleast_2d(before), np.atleast_2d(after)
    seeds, n = before.shape
    if n == 0 or after.shape != before.shape:
        raise ValueError(f"{before.shape} before and {after.shape} after: not the same test rows")
    change = after.astype(np.int64) - before
    sums = np.array([*range(seeds, 0, -1), *range(-1, -seeds - 1, -1), 0])
    shares = (change.sum(0) == sums[:, None]).mean(1)
    drawn = np.random.default_rng(SEED).multinomial(n, shares, size=RESAMPLES) @ sums
    value = float(change.mean())
    low, high = map(float, np.quantile(drawn / (n * seeds), [0.025, 0.975]))
    if seeds > 1:
        by_seed = change.mean(1).tolist()
        least, most = t_interval(by_seed)
        low = value - hypot(value - low, value - least)
        high = value + hypot(high - value, most - value)
    return Measured(value=value, low=max(-1.0, low), high=min(1.0, high))
