"""The stop rule of a panel: an attack ends at a milestone when it cannot win any more.

The rule reads the *watch rows* only: rows that the panel itself buys at its start, on an account of
its own that counts in the total. No attack of the panel asks these rows, and none of them is a test
row of the owner's. For images there are two kinds, public pictures and procedural drawings; for a
table uniform rows.

At a milestone of n rows out of a budget of N, for each kind of watch rows:

    v_i         the chance-corrected agreement of the clones at the milestones n_1 < ... < n_i = n
    gain        the largest (v_j - v_(j-1)) / log2(n_j / n_(j-1)) so far, at least 0
    projected   min(1, high_i + gain log2(N / n)), high_i the upper bound of v_i's 95 % interval
    bar         the largest lower bound of an earlier entry's clone of at most N rows

The attack ends if projected < bar for every kind of watch rows that says anything. It goes on when
in doubt: before a fifth of its budget, without an earlier look at it or another entry to compare
with, for an attack that searches before it has a clone, or where the victim gives one class for
more than 9 of 10 watch rows of each kind.

An attack that was stopped is a censored value: what it would have reached is not known.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import log2

from clonecost.result import Corrected, Look, PartLook

EARLIEST = 0.2  # share of its budget before which no attack is stopped
ONE_CLASS = 0.9  # share of the most frequent class above which watch rows say too little

WORDS = (
    "At a milestone an attack ends when its chance-corrected agreement on the watch rows (upper "
    "bound of the 95 % CI), continued to its full budget by its largest gain per doubling so far, "
    "lies below the lower bound that an earlier attack reached within as many queries, on every "
    "kind of watch rows. Never before a fifth of its budget. No test row is read."
)


def look_at(
    found: Sequence[tuple[str, Corrected, float]], queries: int, *, budget: int,
    before: Sequence[Look], others: Iterable[Sequence[Look]], late: bool = False,
) -> Look:  # fmt: skip
    """The look of the rule at a clone, with its decision.

    Args:
        found: of each kind of watch rows its name, the clone's agreement, and the share of the
            victim's most frequent class.
        queries: rows that the clone cost.
        budget: of the attack.
        before: the earlier looks at the same attack.
        others: the looks at each earlier entry.
        late: the attack searches before it has a clone, and is never stopped.
    """
    others = list(others)
    parts = [
        PartLook(
            part=part, corrected_agreement=agreement,
            projected=None if share > ONE_CLASS else _projected(
                [*_values(before, part), (queries, agreement.value)], agreement.high, budget
            ),
            bar=_bar(others, part, budget),
        )
        for part, agreement, share in found
    ]  # fmt: skip
    telling = [one for one, (_, _, share) in zip(parts, found, strict=True) if share <= ONE_CLASS]
    loses = bool(telling) and all(
        one.projected is not None and one.bar is not None and one.projected < one.bar
        for one in telling
    )
    due = EARLIEST * budget <= queries < budget and not late
    return Look(queries=queries, parts=parts, stop="cannot_win" if loses and due else None)


def _values(looks: Sequence[Look], part: str) -> list[tuple[int, float]]:
    return [
        (look.queries, one.corrected_agreement.value)
        for look in looks for one in look.parts if one.part == part
    ]  # fmt: skip


def _projected(values: Sequence[tuple[int, float]], high: float, budget: int) -> float | None:
    """The most that the budget can give; None after one look.

    Example:
        >>> _projected([(100, 0.2), (200, 0.3)], 0.35, 400)
        0.45
    """
    if len(values) < 2:
        return None
    gains = [
        (later - sooner) / log2(more / less) for (less, sooner), (more, later) in pairwise(values)
    ]
    doublings = log2(max(1.0, budget / values[-1][0]))
    return round(min(1.0, high + max(0.0, *gains) * doublings), 12)


def _bar(others: Iterable[Sequence[Look]], part: str, budget: int) -> float | None:
    lows = [
        one.corrected_agreement.low
        for looks in others for look in looks if look.queries <= budget
        for one in look.parts if one.part == part
    ]  # fmt: skip
    return max(lows, default=None)
