"""The interval of a mean over seeds."""

from collections.abc import Sequence
from statistics import fmean, stdev

CONFIDENCE = 0.95


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """Student's 95 % interval for the mean of at least two independent values.

    Example:
        >>> low, high = t_interval([0.7, 0.8])
        >>> round(low, 3), round(high, 3)
        (0.115, 1.385)
    """
    from scipy.special import stdtrit  # the quantile of scipy.stats.t, without its slow import

    n = len(values)
    half = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * stdev(values) / n**0.5
    return fmean(values) - half, fmean(values) + half
