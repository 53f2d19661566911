"""A decision to end an attack at a milestone, before its budget is spent."""

import json
from dataclasses import dataclass
from typing import Protocol

from torch import nn

from clonecost.oracle.ledger import Ledger


class Halt(Protocol):
    """Decides at each milestone, after its clone was examined, whether the attack ends there.

    It is asked about the last clone, too, where its answer changes nothing. It must not change the
    clone, nor draw random numbers.
    """

    def __call__(self, clone: nn.Module, queries: int) -> bool: ...


def never(clone: nn.Module, queries: int) -> bool:
    """The default: an attack ends by itself or with its budget."""
    return False


@dataclass(frozen=True)
class KeptHalt:
    """A halt whose decision is a fact of the ledger before it takes effect.

    A resumed run ends at the same milestone, also without the halt. With a larger budget it is
    another decision: the fact holds for its own budget only.
    """

    ledger: Ledger
    budget: int
    halt: Halt

    def __call__(self, clone: nn.Module, queries: int) -> bool:
        held = json.loads(self.ledger.fact("stopped") or "{}")
        if held.get("budget") == self.budget:
            return bool(queries >= held["queries"])
        if not self.halt(clone, queries):
            return False
        self.ledger.note(stopped=json.dumps({"budget": self.budget, "queries": queries}))
        return True
