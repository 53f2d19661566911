"""The defences that ship, by name, and how several are put before a victim."""

from functools import reduce
from typing import TYPE_CHECKING, Any

from clonecost.registry import Parts

if TYPE_CHECKING:  # torch, which a list of names does not need
    from clonecost.types import Defence, Victim

DEFENCES: Parts[Any] = Parts("clonecost.defences", "defences")


def defend(victim: "Victim", *defences: "Defence") -> "Victim":
    """Apply defences in order: the first sits closest to the model."""
    return reduce(lambda inner, defence: defence(inner), defences, victim)
