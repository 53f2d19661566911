"""Which clones are looked at: one at each milestone, and the last."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from torch import nn

from clonecost.attacks.base import AttackerKit, Clone, DeferredClone
from clonecost.errors import BudgetError
from clonecost.evaluation.scoring import Reference, score
from clonecost.oracle import Oracle
from clonecost.result import Score

Ended = Literal["finished", "budget_exhausted"]


class Looks(Protocol):
    """The looks at clones so far."""

    @property
    def queries(self) -> int:
        """Rows bought at the last look; -1 before the first."""
        ...

    def look(self, clone: nn.Module, queries: int) -> None: ...


@dataclass
class Curve:
    """Looks that score the clone; `scored` gets every score, also those of a restored snapshot."""

    reference: Reference
    scored: Callable[[Score], None]
    scores: list[Score] = field(default_factory=list)

    @property
    def queries(self) -> int:
        return self.scores[-1].queries if self.scores else -1

    def look(self, clone: nn.Module, queries: int) -> None:
        self.scores.append(score(clone, self.reference, queries=queries))
        self.scored(self.scores[-1])

    def state_dict(self) -> dict[str, Any]:
        return {"scores": [score.model_dump() for score in self.scores]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        scores = [Score.model_validate(held) for held in state["scores"]]
        for again in scores[len(self.scores) :]:
            self.scored(again)
        self.scores = scores


def follow(
    clones: Iterable[Clone], oracle: Oracle, kit: AttackerKit, milestones: Sequence[int],
    looks: Looks,
) -> tuple[nn.Module | None, Ended]:  # fmt: skip
    """Let an attack run to its end, and look at the clones that are due.

    A deferred clone is made in a branch of the kit that depends on its number of rows only: the
    clone of a milestone is the one that a run with this budget would have ended with.

    Args:
        clones: what the attack's `run` yields.
        milestones: rows, ascending. A network is looked at as soon as they are bought; so is a
            deferred clone, but if it is exact it is made from that many rows.

    Returns:
        (the last clone, how the attack ended); None, if the attack yielded no clone.
    """
    last: Clone | None = None
    made: tuple[int, nn.Module] | None = None  # (rows, the last clone if it was looked at)
    ended: Ended = "finished"
    try:
        for last in clones:
            made = None
            for milestone in milestones:
                if looks.queries < milestone <= oracle.spent:
                    exact = isinstance(last, DeferredClone) and last.exact
                    rows = milestone if exact else oracle.spent
                    made = rows, _made(last, rows, kit)
                    looks.look(made[1], rows)
    except BudgetError:
        ended = "budget_exhausted"
    if last is None:
        return None, ended
    spent = oracle.spent
    clone = made[1] if made and made[0] == spent else _made(last, spent, kit)
    if looks.queries < spent:
        looks.look(clone, spent)
    return clone, ended


def _made(clone: Clone, rows: int, kit: AttackerKit) -> nn.Module:
    return clone.make(rows, kit.branch(rows)) if isinstance(clone, DeferredClone) else clone
