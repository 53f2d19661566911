"""The defences that ship, by name, and how several of them are applied to a victim."""

from functools import reduce
from typing import TYPE_CHECKING, Any

from clonecost.registry import Parts

if TYPE_CHECKING:  # torch, which a list of names does not need
    from clonecost.types import Defence, Victim

DEFENCES: Parts[Any] = Parts("clonecost.defences", "defences")


def defend(victim: "Victim", *defences: "Defence") -> "Victim":
    """Apply defences in order: the first is closest to the model.

    Returns:
        The defended victim: (n, *input_shape) inputs -> (n, K) answers; `victim` itself without
        defences.

    Example:
        >>> coarse = defend(victim, Rounding(decimals=2))
    """
    return reduce(lambda inner, defence: defence(inner), defences, victim)
