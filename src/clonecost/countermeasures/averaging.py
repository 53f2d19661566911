"""Averaging: each row is sent several times, and the answers are averaged."""

from dataclasses import dataclass
from typing import ClassVar

from clonecost.countermeasures._combining import GIVES, Kind, combined, must_be_kind
from clonecost.countermeasures.base import Declaration, Known, View, at_least_two_copies
from clonecost.errors import SetKey, SpecError
from clonecost.oracle import Oracle
from clonecost.types import ThreatModel


@dataclass(frozen=True, kw_only=True)
class Averaging:
    """Send each row `repeats` times and take the mean of the answers.

    For defences that draw fresh noise for every query. Every repeat is a query, so that the attack
    has a `repeats`-th of the budget for distinct rows. A defence that gives a row one answer is not
    averaged away; see `jitter`.

    Raises:
        SpecError: a setting is out of range.

    Example:
        >>> Averaging(repeats=4).view(oracle, known).remaining  # doctest: +SKIP
        250
    """

    repeats: int = 4  # m, times that each row is sent
    # mean; log: mean of logarithms, for noise on logits; vote: the most frequent top class
    kind: Kind = "mean"

    declares: ClassVar = Declaration()

    def __post_init__(self) -> None:
        at_least_two_copies(self, self.repeats)
        must_be_kind(self.kind)

    def unfit(self, known: Known, threat: ThreatModel) -> SpecError | None:
        if any(_fresh(one) for one in known.defences) or not known.defences:
            return None
        return SpecError(
            f"averaging repeats a row, and {', '.join(known.names)} gives a repeated row the same "
            "answer, so that only queries are lost",
            SetKey("counter", "jitter"),
            SetKey("counter", "label_only"),
        )

    def view(self, oracle: Oracle, known: Known) -> View:
        return View(oracle, repeats=self.repeats, gives=GIVES[self.kind], made=combined(self.kind))


def _fresh(defence: object) -> bool:
    """Whether a defence may give a repeated row another answer; a plain function may."""
    declares = getattr(defence, "declares", None)
    if declares is None:
        return True
    return bool(declares.random or declares.stateful) and not getattr(defence, "consistent", False)
