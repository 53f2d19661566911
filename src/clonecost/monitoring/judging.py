"""One detector on the rows of an attack: alarm, short accounts, and the split that hides it."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from clonecost.detectors.base import FIRST_LOOK, Detector, Numbers, Stream, looks, settings_of
from clonecost.monitoring.benign import BenignTraffic
from clonecost.monitoring.calibration import Calibrated, auroc, calibrate, share
from clonecost.result.detection import DetectorFinding, ShortAccount, Unseen, WithoutUsers
from clonecost.result.score import Score

SHORT = (100, 500, 1_000, 5_000)  # rows of the accounts that are compared
SHORT_RATE = 0.01  # false-alarm rate of that comparison
MOST_ACCOUNTS = 100  # attack accounts that are watched for one number
MOST_STRETCHES = 20  # stretches of accounts that are watched for one split

Split = Literal["round robin", "contiguous"]
SPLITS: tuple[Split, ...] = ("round robin", "contiguous")


def judge(
    name: str, detector: Detector, attack: Stream, traffic: BenignTraffic, *, rate: float,
    curve: Sequence[Score],
) -> DetectorFinding:  # fmt: skip
    """What a detector, calibrated on benign traffic, says of the rows of an attack.

    Args:
        attack: in their order.
        rate: the false-alarm rate over the whole stream of an account.
        curve: the scores of the attack's clones, by queries.
    """
    settings = dict(settings_of(detector))
    found = DetectorFinding(name=name, settings=settings)
    why = detector.cannot(attack) or detector.cannot(traffic.reference)
    if why:
        return found.model_copy(update={"why_not": why})
    ready = calibrate(detector, traffic, rate)
    if not ready.judges(ready.account_rows):
        why = f"it gives no verdict on accounts of {ready.account_rows:,} rows or fewer"
        return found.model_copy(update={"why_not": why})
    stretches = Stretches(ready, attack)
    alarm = stretches.first_alarm(ready.threshold())
    milestone = last_score(curve, alarm)
    accounts = [_short(ready, attack, rows) for rows in SHORT]
    unseen = [unseen_split(ready, attack, split, alarmed=alarm is not None) for split in SPLITS]
    needed = [one.accounts for one in unseen if one.accounts is not None]
    curves = [one.auroc for one in accounts if one.auroc is not None]
    return DetectorFinding(
        name=name, settings=settings, threshold=ready.threshold(),
        watched=len(attack), false_alarms=ready.false_alarms(), first_alarm=alarm,
        milestone=milestone.queries if milestone else None,
        agreement=milestone.agreement if milestone else None,
        without=_without(ready, stretches, curve),
        short_accounts=accounts, auroc=curves[-1] if curves else None,
        unseen=unseen, accounts_needed=min(needed, default=None),
    )  # fmt: skip


class Stretches:
    """A long stream in stretches of the rows that were calibrated; each is watched once."""

    def __init__(self, ready: Calibrated, stream: Stream) -> None:
        self._ready, self._stream = ready, stream
        self._watched: list[Numbers] = []

    def first_alarm(self, limit: float) -> int | None:
        """The rows of the stream before the statistic first exceeds `limit`; None: it never does.

        Every stretch begins anew, with the false-alarm rate of one account.
        """
        length = self._ready.account_rows
        for number, start in enumerate(range(0, len(self._stream), length)):
            if number == len(self._watched):
                part = self._stream.take(slice(start, start + length))
                self._watched.append(self._ready.watch(part))
            over = np.flatnonzero(self._watched[number] > limit)
            if len(over):
                return start + int(looks(length)[over[0]])
        return None


def _without(
    ready: Calibrated, stretches: Stretches, curve: Sequence[Score]
) -> WithoutUsers | None:
    """What an owner finds who has no users of the kind that costs most."""
    found = ready.without_costliest_users()
    if found is None:
        return None
    alarm = stretches.first_alarm(found[1])
    milestone = last_score(curve, alarm)
    return WithoutUsers(
        users=found[0], threshold=found[1], first_alarm=alarm,
        milestone=milestone.queries if milestone else None,
        agreement=milestone.agreement if milestone else None,
    )  # fmt: skip


def last_score(curve: Sequence[Score], alarm: int | None) -> Score | None:
    """The last milestone at or before an alarm; the last of all without an alarm."""
    before = [score for score in curve if alarm is None or score.queries <= alarm]
    return before[-1] if before else None


def _short(ready: Calibrated, attack: Stream, rows: int) -> ShortAccount:
    """Accounts of `rows` rows each, one after the other, against benign ones of as many rows."""
    starts = np.arange(len(attack) // rows) * rows
    if rows > ready.account_rows:
        why = f"the benign accounts have {ready.account_rows:,} rows"
    elif not len(starts):
        why = f"the attack sent {len(attack):,} rows"
    elif not ready.judges(rows):
        why = f"the detector gives no verdict on {rows:,} rows"
    else:
        watched = [ready.watch(attack.take(slice(at, at + rows))).max() for at in _some(starts)]
        largest = np.array(watched)
        return ShortAccount(
            rows=rows, accounts=len(starts),
            found=share(largest > ready.threshold(rows, SHORT_RATE)),
            auroc=auroc(largest, ready.largest_of_checking(rows)),
        )  # fmt: skip
    return ShortAccount(rows=rows, accounts=len(starts), found=None, auroc=None, why=why)


def unseen_split(ready: Calibrated, attack: Stream, split: Split, *, alarmed: bool) -> Unseen:
    """The smallest number of accounts, of those tried, among which the attack stays unseen.

    It stays unseen when its accounts alarm no more often than the false-alarm rate explains: the
    lower end of the interval of their share is at most that rate. More accounts hide better, so
    that the numbers are searched by halving.

    Args:
        alarmed: one account that asks everything alarms; if not, one is enough.
    """
    if not alarmed:
        return Unseen(split=split, accounts=1, rows=len(attack))
    limit = ready.threshold()

    def unseen(accounts: int) -> bool:
        units = list(_stretches(len(attack), accounts, split, ready.account_rows))
        over = [
            bool((ready.watch(attack.take(units[at])) > limit).any())
            for at in _some(np.arange(len(units)), MOST_STRETCHES)
        ]
        return share(np.array(over)).low <= ready.rate

    tried = split_numbers(len(attack))
    at = bisect_left(tried, True, lo=1, key=unseen)
    if at >= len(tried):
        return Unseen(split=split, accounts=None, rows=None)
    return Unseen(split=split, accounts=tried[at], rows=len(attack) // tried[at])


def split_numbers(rows: int) -> list[int]:
    """1, 2, 3, 4, 6, 9, ... accounts, as long as each has enough rows for a look.

    Example:
        >>> split_numbers(100)
        [1, 2, 3, 4]
    """
    found = [1]
    while rows // found[-1] >= FIRST_LOOK:
        found.append(max(found[-1] + 1, round(found[-1] * 1.45)))
    return found[:-1]


def _stretches(rows: int, accounts: int, split: Split, longest: int) -> Iterator[NDArray[np.intp]]:
    """The rows of each account, in stretches of at most `longest`."""
    if split == "contiguous":
        ends = np.linspace(0, rows, accounts + 1).astype(np.intp)
        each = [np.arange(begin, end) for begin, end in pairwise(ends)]
    else:
        each = [np.arange(first, rows, accounts) for first in range(accounts)]
    for account in each:
        for start in range(0, len(account), longest):
            stretch = account[start : start + longest]
            if len(looks(len(stretch))):
                yield stretch


def _some(items: NDArray[np.intp], most: int = MOST_ACCOUNTS) -> NDArray[np.intp]:
    """At most `most` of the items, evenly spaced."""
    if len(items) <= most:
        return items
    return items[np.linspace(0, len(items) - 1, most).astype(np.intp)]
