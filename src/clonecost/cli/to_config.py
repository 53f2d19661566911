"""Command-line values to a spec."""

from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clonecost.config import Spec


def spec_of_keys(keys: dict[str, Any], *, attacks: bool = True, panel: bool = False) -> "Spec":
    """The spec of the command line's keys; if the victim is a TOML file, they override its keys.

    Args:
        keys: as `takes_keys` hands them to a command.
        attacks: whether the spec's attacks will query the victim, and so must fit it.
        panel: whether the command runs the default panel if no attack is named.

    Raises:
        SpecError: the file cannot be read, or the keys are not a valid spec.
    """
    from clonecost.config import make_spec, read_toml
    from clonecost.config.key import over
    from clonecost.config.panels import DEFAULT

    victim, written, where = keys["victim"], keys, "the command line"
    if victim.endswith(".toml"):
        given = {name: value for name, value in keys.items() if name != "victim"}
        written, where = over(read_toml(Path(victim)), given), victim
    if panel and not {"attack", "panel"} & set(written):
        written = {**written, "panel": DEFAULT}
    return make_spec(written, where=where, attacks=attacks)


def consent_of_keys(spec: "Spec", keys: dict[str, Any], given: list[str] | None) -> Container[str]:
    """What the person at the command line agrees to.

    Whoever types a victim agrees to it. The keys of a file need consent, given by `--consent`, or
    by the keys that mean it: `--trust` and `--allow`.

    Args:
        keys: as `takes_keys` hands them to a command.
        given: the values of `--consent`.

    Raises:
        SpecError: a value of `--consent` has another form than KIND:WHAT.
    """
    from clonecost.config import EVERYTHING, checked_consent

    agreed = checked_consent(given or [])
    if not keys["victim"].endswith(".toml"):
        return EVERYTHING
    trusted = [f"program:{spec.victim}"] if keys.get("trust") else []
    return agreed.union(trusted, (f"type:{one}" for one in keys.get("allow", [])))
