"""From what was written on the command line to a spec, and to the limits of `--fail-above`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from clonecost.errors import SpecError, suggest
from clonecost.result import metrics

if TYPE_CHECKING:
    from clonecost.config import Spec


def spec_of_keys(keys: dict[str, Any], *, asks: bool = True) -> "Spec":
    """The keys of the command line over those of a TOML file, if the victim is one.

    Args:
        keys: as `takes_keys` hands them to a command.
        asks: whether an attack asks the victim, and must fit it.

    Raises:
        SpecError: the file or the keys are no spec.
    """
    from clonecost.config import make_spec, read_toml
    from clonecost.config.key import over

    victim = keys["victim"]
    if not victim.endswith(".toml"):
        return make_spec(keys, where="the command line", asks=asks)
    given = {name: value for name, value in keys.items() if name != "victim"}
    return make_spec(over(read_toml(Path(victim)), given), where=victim, asks=asks)


def limits_of(written: list[str] | None) -> dict[str, float]:
    """METRIC=SHARE, several times -> {metric: share}.

    Raises:
        SpecError: a metric is unknown, or a share is not from 0 to 1.
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
