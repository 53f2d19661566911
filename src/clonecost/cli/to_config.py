"""Command-line values to a spec."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clonecost.config import Spec


def spec_of_keys(keys: dict[str, Any], *, attacks: bool = True) -> "Spec":
    """The spec of the command line's keys; if the victim is a TOML file, they override its keys.

    Args:
        keys: as `takes_keys` hands them to a command.
        attacks: whether the spec's attacks will query the victim, and so must fit it.

    Raises:
        SpecError: the file cannot be read, or the keys are not a valid spec.
    """
    from clonecost.config import make_spec, read_toml
    from clonecost.config.key import over

    victim = keys["victim"]
    if not victim.endswith(".toml"):
        return make_spec(keys, where="the command line", attacks=attacks)
    given = {name: value for name, value in keys.items() if name != "victim"}
    return make_spec(over(read_toml(Path(victim)), given), where=victim, attacks=attacks)
