"""The attacks that ship. Adding one = one file and one line here."""

from clonecost.attacks import black_box_ripper, dfme, frugal_ripper, knockoff
from clonecost.attacks.base import Attack, AttackerKit

__all__ = ["ATTACKS", "PROFILES", "Attack", "AttackerKit"]

ATTACKS: dict[str, type[Attack]] = {
    "black_box_ripper": black_box_ripper.BlackBoxRipper,
    "dfme": dfme.Dfme,
    "frugal_ripper": frugal_ripper.FrugalRipper,
    "knockoff": knockoff.Knockoff,
}

# Named settings of an attack, chosen as NAME:PROFILE.
PROFILES: dict[str, dict[str, Attack]] = {
    "black_box_ripper": dict(black_box_ripper.PROFILES),
    "dfme": dict(dfme.PROFILES),
    "frugal_ripper": {},
    "knockoff": dict(knockoff.PROFILES),
}
