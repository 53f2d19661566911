"""From flags to a spec: those that were given, over the keys of a TOML file."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from clonecost.errors import SpecError, suggest

if TYPE_CHECKING:
    from clonecost.config import Spec

FLAGS = ("attack", "budget", "proxy", "student", "answers", "input_precision", "access",
         "defence", "price", "seed", "device", "data", "keep", "controls", "compile",
         "snapshot_every", "spot_check", "test", "network", "outputs", "classes", "trust", "allow",
         "uniform", "incomplete", "layout", "pixels", "rate", "max_lost")  # fmt: skip


def spec_of_flags(victim: str, flags: dict[str, Any], *, asks: bool = True) -> "Spec":
    """Flags (those that were given) over the keys of a TOML file, if there is one.

    `asks`: whether an attack asks the victim, and must fit it.
    """
    from clonecost.config import make_spec, parse_value, read_toml

    written: dict[str, Any] = {"victim": victim}
    where = "the command line"
    if victim.endswith(".toml"):
        written, where = read_toml(Path(victim)), victim
    for name in FLAGS:
        if flags[name] not in (None, []):
            written[name] = flags[name]
    for name in ("milestones", "shape"):
        if flags[name] is not None:
            written[name] = numbers(name, flags[name])
    for name in ("mean", "std"):
        if flags[name] is not None:
            written[name] = decimals(name, flags[name])
    if flags["set_"]:
        settings: dict[str, dict[str, Any]] = {
            k: dict(v) for k, v in written.get("set", {}).items()
        }
        for text in flags["set_"]:
            left, equals, value = text.partition("=")
            attack, dot, field = left.partition(".")
            if not (equals and dot):
                raise SpecError(f"--set {text!r}: want ATTACK.FIELD=VALUE, as dfme.student_lr=0.03")
            settings.setdefault(attack, {})[field] = parse_value(value)
        written["set"] = settings
    return make_spec(written, where=where, asks=asks)


def numbers(name: str, text: str) -> list[int]:
    try:
        return [int(part.replace("_", "")) for part in text.split(",") if part.strip()]
    except ValueError:
        raise SpecError(f"--{name} {text!r}: want whole numbers with commas between") from None


def decimals(name: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise SpecError(f"--{name} {text!r}: want numbers with commas between") from None


def limits_of(written: list[str] | None) -> dict[str, float]:
    limits = {}
    for text in written or []:
        metric, _, share = text.partition("=")
        known = ["agreement", "accuracy", "relative_accuracy"]
        if metric not in known:
            raise SpecError(suggest("metric", metric, known))
        try:
            limits[metric] = float(share)
        except ValueError:
            limits[metric] = -1
        if not 0 <= limits[metric] <= 1:  # 90 would never be exceeded
            raise SpecError(f"--fail-above {text!r}: want {metric}=SHARE from 0 to 1, as 0.9")
    return limits
