"""The attacks of this folder and their profiles, by name."""

from typing import TYPE_CHECKING

from clonecost.registry import Parts

if TYPE_CHECKING:  # torch, which a list of names does not need
    from clonecost.attacks.base import Attack

ATTACKS: "Parts[Attack]" = Parts("clonecost.attacks", "attacks")
PROFILES = ATTACKS.profiles()  # named settings of an attack, chosen as NAME:PROFILE
