"""Who looks on while an audit runs."""

from collections.abc import Callable
from dataclasses import dataclass

from clonecost.result import Score


@dataclass(frozen=True)
class Watcher:
    """Callbacks that report the progress of an audit, without an effect on it.

    Attributes:
        spent: (rows spent, budget) after each batch.
        step: (name, parts done, parts in all) of any other long step.
        scored: every score of the clone, also those of a resumed run's earlier milestones.
        notice: a warning, one sentence.

    Example:
        >>> watcher = Watcher(scored=lambda score: print(score.queries, score.agreement.value))
    """

    spent: Callable[[int, int], None] = lambda spent, budget: None
    step: Callable[[str, int, int], None] = lambda what, done, total: None
    scored: Callable[[Score], None] = lambda score: None
    notice: Callable[[str], None] = lambda sentence: None
