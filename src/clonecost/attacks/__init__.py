"""The attacks that ship. Adding one = one file and one line here."""

from clonecost.attacks import dfme, knockoff
from clonecost.attacks.base import Attack, AttackerKit

__all__ = ["ATTACKS", "PROFILES", "Attack", "AttackerKit"]

ATTACKS: dict[str, type[Attack]] = {
    "dfme": dfme.Dfme,
    "knockoff": knockoff.Knockoff,
}

# Named settings of an attack, chosen as NAME:PROFILE.
PROFILES: dict[str, dict[str, Attack]] = {
    "dfme": dict(dfme.PROFILES),
    "knockoff": dict(knockoff.PROFILES),
}
