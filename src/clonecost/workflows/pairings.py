"""Which attackers stand beside a defence, so that a grid judges it by those who know it.

Not there: semi-supervised clones and a pool of the victim's own domain, which are other attacks.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from clonecost.result.defence_grid import NAIVE


@dataclass(frozen=True)
class Pairing:
    """An attacker and the reason why it stands beside a defence."""

    counter: str | None  # as in a spec; None: the answers are taken as they are served
    why: str

    @property
    def name(self) -> str:
        """As the grid's document has it."""
        return self.counter or NAIVE


AS_SERVED = Pairing(None, "it trains on the answers as they are served")
LABELS = Pairing(
    "label_only", "it ignores the probabilities, and most defences change nothing else"
)
TABLE = Pairing("recovery_table", "it runs the defence itself and looks answers up backwards")
NET = Pairing("recovery_net", "it runs the defence itself and learns the way back")
VOTE = Pairing("jitter:kind=vote", "a wrong label is an outlier among the labels of nearby rows")
JITTER = Pairing("jitter", "copies that differ a little draw other noise")
FEW = Pairing("averaging:repeats=4", "fresh noise averages out over repeats")
MANY = Pairing("averaging:repeats=16", "more repeats average better and leave fewer distinct rows")
INVERSE = Pairing("inverse", "the inverse of the formula is known")

# For each defence, beside AS_SERVED and LABELS, which every defence gets.
PAIRINGS: Mapping[str, tuple[Pairing, ...]] = {
    "adaptive_misinformation": (JITTER,),
    "dawn": (VOTE,),
    "ensemble": (JITTER,),
    "grad2": (TABLE, VOTE),
    "mad": (TABLE, VOTE),
    "modelguard_s": (TABLE,),
    "modelguard_w": (TABLE,),
    "noise": (FEW, MANY, JITTER),
    "reverse_sigmoid": (TABLE, NET),
    "rounding": (),
    "temperature": (INVERSE,),
}


def attackers_of(defences: Iterable[str]) -> list[Pairing]:
    """The attackers that the defences must be judged by, none twice.

    Args:
        defences: names in the registry; without any, only the one who takes answers as served.

    Example:
        >>> [one.name for one in attackers_of(["temperature"])]
        ['naive', 'label_only', 'inverse']
    """
    names = list(defences)
    if not names:
        return [AS_SERVED]
    found = [one for name in names for one in PAIRINGS.get(name, ())]
    return list(dict.fromkeys([AS_SERVED, LABELS, *found]))
