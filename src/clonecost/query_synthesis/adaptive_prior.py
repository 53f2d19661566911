"""Which family of new pictures is worth its queries: learnt from the bought answers.

A family earns, for each of its rows that was bought,

    r = sum_k y_k / (K s_k)        y: the victim's answer,  s: shares of the classes among all rows

so that a row of a rare class counts much and one of a frequent class little. The next candidates
are divided in proportion to the mean of r, of which older rounds count less; every family keeps a
least share. No query is sent for it.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

LEAST = 0.2  # of the candidates, divided among all families whatever they earn
MEMORY = 0.8  # weight of the earlier rounds
RECOMBINED = -1  # the family of rows that were made from bought ones


class AdaptivePrior:
    """Shares of families of pictures.

    Args:
        families: their names; one family has the share 1 for ever.
        adaptive: False: equal shares for ever.

    Example:
        >>> prior = AdaptivePrior(["drawings", "clouds"], adaptive=True)
        >>> prior.shares
        [0.5, 0.5]
        >>> prior.reward(torch.tensor([0, 0, 1]), torch.eye(2)[[0, 0, 1]], torch.eye(2)[[0, 0, 1]])
        >>> prior.shares[1] > prior.shares[0]
        True
    """

    def __init__(self, families: list[str], *, adaptive: bool) -> None:
        self.families, self._adaptive = families, adaptive
        self._earned, self._rows = [0.0] * len(families), [0.0] * len(families)

    @property
    def shares(self) -> list[float]:
        """Each family's share of the new candidates; their sum is 1."""
        count = len(self.families)
        known = [e / r for e, r in zip(self._earned, self._rows, strict=True) if r]
        if not self._adaptive or not known:
            return [1 / count] * count
        usual = sum(known) / len(known)  # for a family of which no row has been bought lately
        worth = [e / r if r else usual for e, r in zip(self._earned, self._rows, strict=True)]
        return [LEAST / count + (1 - LEAST) * one / sum(worth) for one in worth]

    def split(self, count: int) -> list[int]:
        """Numbers of candidates of each family that add up to `count`."""
        ends = torch.tensor([0.0, *self.shares]).cumsum(0)
        places = (ends / ends[-1] * count).round().long()
        return [int(size) for size in places.diff()]

    def reward(self, origin: Tensor, answers: Tensor, before: Tensor) -> None:
        """Take a round into account.

        Args:
            origin: (n,) the family of each bought row, or `RECOMBINED`.
            answers: (n, K), of these rows.
            before: (m, K), of all rows so far.
        """
        shares = before.mean(0).clamp_min(0.1 / before.shape[1])
        worth = (answers / (shares * len(shares))).sum(1)
        for family in range(len(self.families)):
            rows = worth[origin == family]
            self._earned[family] = MEMORY * self._earned[family] + float(rows.sum())
            self._rows[family] = MEMORY * self._rows[family] + len(rows)

    def state_dict(self) -> dict[str, Any]:
        return {"earned": list(self._earned), "rows": list(self._rows)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._earned, self._rows = list(state["earned"]), list(state["rows"])
