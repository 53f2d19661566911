"""The daily cap per account that keeps a clone below a band of the verdict, by a measured curve."""

from collections.abc import Sequence
from math import ceil

from clonecost.result.detection import Cap
from clonecost.result.score import Score

BANDS = (0.75, 0.9)  # of chance-corrected agreement, as the verdict of the report has them
DAYS = 30  # for which an account is used


def caps(curve: Sequence[Score], days: int = DAYS) -> list[Cap]:
    """The largest q for each band such that an account with q rows a day stays below it.

    An account that is used for `days` days asks q x days rows in all. It stays below the band if
    that is at most the last milestone before the interval's upper end reaches the band. Between two
    milestones the curve is not known, so that nothing is interpolated.

    Args:
        curve: scores by queries, ascending.
    """
    return [_cap(curve, band, days) for band in BANDS]


def _cap(curve: Sequence[Score], band: float, days: int) -> Cap:
    reached = next((one.queries for one in curve if one.corrected_agreement.high >= band), None)
    before = [one.queries for one in curve if reached is None or one.queries < reached]
    below = before[-1] if before else None
    per_day = None if below is None else below // days
    return Cap(
        band=band, days=days, below=below, reached=reached, per_day=per_day,
        accounts_in_a_day=ceil(reached / per_day) if reached and per_day else None,
    )  # fmt: skip
