"""Agreement beside that of a clone that learnt nothing: corrected for chance, and by class.

The corrected rate is (a - b) / (1 - b), a the rate and b its majority-class baseline. Why not
Cohen's kappa: docs/decisions/chance_corrected_agreement.md.
"""

import math
from collections.abc import Sequence

from clonecost.result import Corrected, Rate

Z_SQUARED = 3.841458820694124  # of the 95 % interval, as in Wilson's


def corrected(rate: Rate, majority: float) -> Corrected:
    """The rate on a scale where its majority-class baseline is 0 and all rows are 1.

    The map is linear, so it keeps the order of clones on one test set, and it maps the interval
    with the value. The interval holds for the victim's classes on this test set: b is a fact of
    the test set, not an estimate.

    Args:
        majority: the baseline b in (0, 1]. If it is 1, no clone can be better, and all is 0.

    Example:
        >>> corrected(Rate(value=0.966, low=0.953, high=0.975), 0.974).above_chance
        False
        >>> round(corrected(Rate(value=0.91, low=0.89, high=0.93), 0.1).value, 12)
        0.9
    """
    if majority >= 1:
        return Corrected(value=0, low=0, high=0)
    # 1 - (1 - a) / (1 - b) would not be exactly 0 at a = b
    value, low, high = (
        (share - majority) / (1 - majority) for share in (rate.value, rate.low, rate.high)
    )
    return Corrected(value=value, low=low, high=high)


def balanced(classes: Sequence[Rate]) -> Rate:
    """The mean of the rates of classes, at least one, each class with the same weight.

    The rows of a class are a sample of their own (stratified). The interval combines the classes'
    Wilson intervals: it is as far from the mean as the root of the summed squares of their
    distances (MOVER, Zou and Donner, Statistics in Medicine 2008), so a class with few rows widens
    it, also when all of them agree.

    Example:
        >>> half, all_ = Rate(value=0.5, low=0.2, high=0.8), Rate(value=1, low=0.6, high=1)
        >>> found = balanced([half, all_])
        >>> found.value, found.low, found.high
        (0.75, 0.5, 0.9)
    """
    mean = math.fsum(rate.value for rate in classes) / len(classes)
    down = math.hypot(*(rate.value - rate.low for rate in classes)) / len(classes)
    up = math.hypot(*(rate.high - rate.value for rate in classes)) / len(classes)
    return Rate(value=mean, low=max(0.0, mean - down), high=min(1.0, mean + up))


def learnt(scale: Corrected, by_class: Rate, classes: int) -> bool:
    """Whether a clone is better than one that ignores its input. If not, its attack failed.

    It agrees more often than the majority-class baseline, and this is no chance: the interval of
    the chance-corrected agreement is above 0, or that of the balanced agreement is above 1 / K. A
    clone that ignores its input has at most 1 / K in expectation, whatever the classes' shares; on
    few rows of the rare classes this shows what the first interval cannot.

    Args:
        scale: the chance-corrected agreement.
        by_class: the balanced agreement.
        classes: K, the number of classes that the victim predicts on the test set.

    Example:
        >>> wide = Corrected(value=0.83, low=-0.2, high=0.97)
        >>> learnt(wide, Rate(value=0.92, low=0.72, high=0.99), 2)
        True
        >>> learnt(wide, Rate(value=0.6, low=0.45, high=0.7), 2)
        False
    """
    return scale.value > 0 and (scale.above_chance or by_class.low > 1 / classes)


def few_others(rows: int, majority: float) -> bool:
    """Whether the victim predicts another class than its most frequent one for very few rows.

    True for fewer than about four: then even a perfect clone's interval includes the baseline.

    Example:
        >>> few_others(1_000, 0.9), few_others(1_000, 0.998), few_others(1_000, 1.0)
        (False, True, True)
    """
    return majority >= rows / (rows + Z_SQUARED)  # the lower Wilson bound of all rows
