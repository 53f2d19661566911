"""Score the clones of an attack: one at each milestone, and the last."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from torch import nn

from clonecost.attacks.base import AttackerKit, Clone, DeferredClone
from clonecost.audit.halt import Halt, never
from clonecost.countermeasures.base import affordable, own_rows
from clonecost.errors import BudgetError
from clonecost.evaluation.scoring import Reference, score
from clonecost.oracle import Oracle
from clonecost.result import Score

Ended = Literal["finished", "budget_exhausted", "stopped"]


class Looks(Protocol):
    """An examination of clones; `queries` tells which milestones are done."""

    @property
    def queries(self) -> int:
        """Rows spent at the last examined clone; -1 before the first."""
        ...

    def look(self, clone: nn.Module, queries: int) -> None: ...


@dataclass
class Curve:
    """The scores of the clones; `scored` gets every score, also those of a restored snapshot."""

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
    looks: Looks, halt: Halt = never, repeats: int = 1,
) -> tuple[nn.Module | None, Ended]:  # fmt: skip
    """Run an attack to its end, and examine a clone at each milestone and at the end.

    A deferred clone is made in a branch of the kit that depends on its number of rows only: the
    clone of a milestone is the one with which a run of this budget would have ended.

    Args:
        clones: the clones that the attack's `run` yields.
        oracle: the true one, which counts the copies of a row, too.
        milestones: queries, ascending. A clone is examined as soon as they are spent; an exact
            deferred clone is made from exactly as many rows as the milestone pays for.
        looks: the examination, such as `Curve`; it is told the queries.
        repeats: queries that a row of the attack costs; a milestone is lowered to what whole rows
            cost.
        halt: asked at each milestone; if it says so, the attack gets no further step, and the clone
            of all rows that were bought is the last.

    Returns:
        (the last clone, how the attack ended); the clone is None if the attack yielded none.
    """
    last: Clone | None = None
    made: tuple[int, nn.Module] | None = None  # (rows, the last clone if it was examined)
    ended: Ended = "finished"
    milestones = affordable(milestones, repeats)

    def made_of(clone: Clone, queries: int) -> nn.Module:
        return _made(clone, own_rows(queries, repeats), kit)

    try:
        for last in clones:
            made = None
            for milestone in milestones:
                if looks.queries < milestone <= oracle.spent:
                    exact = isinstance(last, DeferredClone) and last.exact
                    rows = milestone if exact else oracle.spent
                    made = rows, made_of(last, rows)
                    looks.look(made[1], rows)
                    if halt(made[1], rows):
                        ended = "stopped"
                        break
            if ended == "stopped":
                break
    except BudgetError:
        ended = "budget_exhausted"
    if last is None:
        return None, ended
    spent = oracle.spent
    clone = made[1] if made and made[0] == spent else made_of(last, spent)
    if looks.queries < spent:
        looks.look(clone, spent)
        halt(clone, spent)
    return clone, ended


def _made(clone: Clone, rows: int, kit: AttackerKit) -> nn.Module:
    return clone.make(rows, kit.branch(rows)) if isinstance(clone, DeferredClone) else clone
