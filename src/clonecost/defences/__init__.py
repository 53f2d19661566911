"""Defences: each takes a victim and returns a victim. Adding one = one file and one line here."""

from functools import reduce

from clonecost.defences.rounding import Rounding
from clonecost.types import Defence, Victim

__all__ = ["DEFENCES", "defend"]

DEFENCES: dict[str, type] = {
    "rounding": Rounding,
}


def defend(victim: Victim, *defences: Defence) -> Victim:
    """Apply defences in order: the first sits closest to the model."""
    return reduce(lambda inner, defence: defence(inner), defences, victim)
