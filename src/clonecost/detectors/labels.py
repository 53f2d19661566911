"""Labels: the predicted classes of an account come up in other shares than in benign traffic.

    X2 = sum_k (O_k - n p_k)^2 / (n p_k),    statistic = (X2 / f(n) - df) / sqrt(2 df)

with f(n) = 1 + (n - 1) r, the over-dispersion of a Dirichlet-multinomial. Honest users have skewed
shares (one shop, one disease), and r is fitted on benign accounts, so that skew alone is no alarm.
An attacker who balances the classes of the queries looks like the reference.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clonecost.detectors.base import Declaration, Numbers, Stream, Watch, counts_at_looks, looks


@dataclass(frozen=True, kw_only=True)
class Labels:
    """How far the shares of the predicted classes are from those of benign traffic.

    Example:
        >>> Labels(smoothing=1.0).smoothing
        1.0
    """

    smoothing: float = 0.5  # rows added to each class of the reference, so that no share is 0

    declares: ClassVar = Declaration(reads="answers", keeps_state=True)

    def cannot(self, stream: Stream) -> str:
        return ""

    def learn(self, reference: Stream, accounts: Iterable[Stream]) -> Watch:
        counts = np.bincount(reference.top, minlength=reference.classes) + self.smoothing
        shares, df = counts / counts.sum(), reference.classes - 1
        excess = over_dispersion(shares, accounts)

        def watch(stream: Stream) -> Numbers:
            at = looks(len(stream))
            observed = counts_at_looks(stream.top, stream.classes)
            adjusted = chi_square(observed, shares) / (1.0 + (at - 1) * excess)
            return (adjusted - df) / np.sqrt(2.0 * df)

        return watch


def chi_square(observed: Numbers, shares: Numbers) -> Numbers:
    """Pearson's X2 of each row of counts, (looks, K), against shares (K,)."""
    expected = observed.sum(1, keepdims=True) * shares
    return ((observed - expected) ** 2 / expected).sum(1)


def over_dispersion(shares: Numbers, accounts: Iterable[Stream]) -> float:
    """r, in [0, 1): 0 if the accounts' shares differ by chance only.

    By moments: the mean of X2 / df over the accounts is 1 + (n - 1) r.
    """
    found = []
    for account in accounts:
        counts = np.bincount(account.top, minlength=len(shares)).astype(np.float64)
        excess = chi_square(counts[None], shares)[0] / (len(shares) - 1) - 1.0
        found.append(excess / max(len(account) - 1, 1))
    return float(np.clip(np.mean(found), 0.0, 0.999)) if found else 0.0
