"""Command-line values to a spec, and to the limits of `--fail-above`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from clonecost.errors import SpecError, suggest
from clonecost.result import metrics

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


def limits_of(written: list[str] | None) -> dict[str, float]:
    """The limits of `--fail-above`: texts METRIC=SHARE -> {metric: share}.

    Raises:
        SpecError: a metric is unknown, or a share is not from 0 to 1.

    Example:
        >>> limits_of(["agreement=0.9"])
        {'agreement': 0.9}
    """
    known = [name for name, metric in metrics().items() if metric.kind == "share"]
    limits = {}
    for text in written or []:
        metric, _, share = text.partition("=")
        if metric not in known:
            raise SpecError(suggest("metric", metric, known))
        try:
            limits[metric] = float(share)
        except ValueError:
            limits[metric] = -1
        if not 0 <= limits[metric] <= 1:  # 90 would never be exceeded
            raise SpecError(
                "--fail-above does not take this value",
                got=repr(text),
                want=f"{metric}=SHARE with a share from 0 to 1, such as {metric}=0.9",
            )
    return limits
