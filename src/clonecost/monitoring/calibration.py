"""Thresholds from benign accounts: a stated false-alarm rate over the whole stream of an account.

The statistic of an account is the largest one of all its looks. A threshold for each look would
alarm on 7 to 25 times as many honest users as it states, because they are looked at many times.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil

import numpy as np

from clonecost.detectors.base import NO_VERDICT, Detector, Numbers, Stream, Watch, looks
from clonecost.monitoring.benign import BenignTraffic, accounts_needed
from clonecost.result.rates import Rate


@dataclass(frozen=True)
class Calibrated:
    """A detector with what it learnt from benign traffic.

    Attributes:
        watch: the statistic of a stream at each look.
        calibrating, checking: (accounts, looks) statistics of the benign accounts.
        users: the kind of user of each calibrating account.
        account_rows: rows of each account.
        rate: the false-alarm rate over the whole stream of an account.
    """

    watch: Watch
    calibrating: Numbers
    checking: Numbers
    users: tuple[str, ...]
    account_rows: int
    rate: float

    def threshold(self, rows: int | None = None, rate: float | None = None) -> float:
        """The threshold for accounts of `rows` rows; None: of `account_rows`."""
        worst = self._largest(self.calibrating, rows)
        return conformal(worst, self.rate if rate is None else rate)

    def without_costliest_users(self) -> tuple[str, float] | None:
        """The kind of user without which the threshold is lowest, and that threshold.

        None if the threshold stays as it is, or too few accounts are left to calibrate.
        """
        largest, users = self._largest(self.calibrating, None), np.array(self.users)
        found: list[tuple[float, str]] = []
        for kind in sorted(set(self.users)):
            others = largest[users != kind]
            if len(others) >= accounts_needed(self.rate) // 2:
                found.append((conformal(others, self.rate), kind))
        limit, kind = min(found, default=(np.inf, ""))
        return (kind, limit) if limit < self.threshold() else None

    def largest_of_checking(self, rows: int | None = None) -> Numbers:
        """(accounts,) the largest statistic of each benign account that set no threshold."""
        return self._largest(self.checking, rows)

    def false_alarms(self) -> Rate:
        """The share of the checking accounts that alarm at any look."""
        return share(self.largest_of_checking() > self.threshold())

    def judges(self, rows: int) -> bool:
        """Whether accounts of so many rows get a verdict."""
        return bool(np.isfinite(self._largest(self.calibrating, rows)).any())

    def _largest(self, statistics: Numbers, rows: int | None) -> Numbers:
        until = None if rows is None else int((looks(self.account_rows) <= rows).sum())
        return statistics[:, :until].max(1, initial=NO_VERDICT)


def calibrate(detector: Detector, traffic: BenignTraffic, rate: float) -> Calibrated:
    """Let a detector learn from benign traffic, and watch its accounts."""
    watch = detector.learn(traffic.reference, traffic.calibrating)
    rows = traffic.account_rows

    def watched(accounts: Iterable[Stream]) -> Numbers:
        return np.stack([watch(account) for account in accounts])

    return Calibrated(
        watch=watch, calibrating=watched(traffic.calibrating), checking=watched(traffic.checking),
        users=traffic.calibrating.users, account_rows=rows, rate=rate,
    )  # fmt: skip


def conformal(statistics: Numbers, rate: float) -> float:
    """The smallest threshold that a further benign account exceeds with at most this chance.

    Accounts that are exchangeable with the n given ones exceed the k-th smallest with a chance of
    at most 1 - k / (n + 1).

    Raises:
        ValueError: there are too few accounts for the rate.

    Example:
        >>> conformal(np.arange(1, 200, dtype=float), 0.01)
        198.0
    """
    n = len(statistics)
    k = ceil((n + 1) * (1 - rate) - 1e-9)
    if k > n:
        raise ValueError(f"{n} accounts cannot show a rate of {rate:g}")
    return float(np.sort(statistics)[k - 1])


def share(hits: "np.typing.NDArray[np.bool_]") -> Rate:
    """A share with its 95 % interval (Wilson's)."""
    return Rate.of(int(hits.sum()), len(hits))


def auroc(attack: Numbers, benign: Numbers) -> float:
    """The chance that an attack account has a larger statistic than a benign one; ties are half."""
    from sklearn.metrics import roc_auc_score  # a second, which no audit needs

    truth = np.concatenate([np.ones(len(attack)), np.zeros(len(benign))])
    ranks = np.unique(np.concatenate([attack, benign]), return_inverse=True)[1]
    return float(roc_auc_score(truth, ranks))
