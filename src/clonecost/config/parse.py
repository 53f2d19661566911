"""TOML and flags to a checked spec, and back."""

import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from clonecost.attacks.base import check_access
from clonecost.audit import wrong_kind
from clonecost.audit.definition import WITHOUT_DEFENCES
from clonecost.config.defaults import endpoint_url, generators_of, of_table
from clonecost.config.lookup import answer_kind, make_attack, make_defence, make_device
from clonecost.config.schema import OWN, REMOTE, Spec
from clonecost.errors import SpecError, suggest
from clonecost.generators import is_path, row_and_epochs
from clonecost.networks import NETWORKS
from clonecost.types import check_budget
from clonecost.victims.endpoints import EndpointSettings, check_endpoint
from clonecost.victims.zoo.images import VICTIMS
from clonecost.victims.zoo.tabular import TABLE_VICTIMS


def read_spec(path: Path) -> Spec:
    """Read a TOML file.

    Raises:
        SpecError: it is missing, no TOML, has an unknown key (the right one is suggested) or value.
    """
    return make_spec(read_toml(path), where=str(path))


def read_toml(path: Path) -> dict[str, Any]:
    """The keys of a TOML file, not checked yet."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SpecError(f"there is no file {path}") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SpecError(f"{path} cannot be read as TOML: {error}") from error


def make_spec(written: dict[str, Any], *, where: str = "the audit", asks: bool = True) -> Spec:
    """Check what was written. One attack, defence or seed need not stand in a list.

    In a white box the budget is 0 unless it is said: what reads the network asks nothing.

    Args:
        asks: whether an attack asks the victim, and must fit it.
    """
    if written.get("access") == "white-box":
        written = {"budget": 0, **written}
    for key in ("attack", "defence", "seed", "allow"):
        if key in written and not isinstance(written[key], list):
            written = {**written, key: [written[key]]}
    try:
        spec = Spec.model_validate(written)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise SpecError(f"{where}: {suggest('key', key, list(Spec.model_fields))}") from error
        if first["type"] == "missing":
            raise SpecError(f"{where}: the key {key!r} is needed") from error
        said = first["msg"].removeprefix("Value error, ")
        raise SpecError(f"{where}: {key} = {first['input']!r}: {said}") from error
    _check_names(spec, asks)
    # "auto" is settled now: floats differ between devices, so a run stays on the one it began on
    return spec.model_copy(update={"device": str(make_device(spec.device))})


def _check_names(spec: Spec, asks: bool) -> None:
    _check_victim(spec)
    for key in ("attack", "seed"):
        given = getattr(spec, key)
        if len(set(given)) < len(given):
            raise SpecError(f"{key} {', '.join(map(str, given))}: one is given twice")
    _check_access(spec)
    for name in spec.attack if asks else ():
        if refused := wrong_kind(name, make_attack(name, spec.set), table=of_table(spec)):
            raise SpecError(refused)
    for name in generators_of(spec):
        if not is_path(name):
            row_and_epochs(name)  # says what is wrong with it
    for name in spec.set:
        if name not in {attack.partition(":")[0] for attack in spec.attack}:
            known = [attack.partition(":")[0] for attack in spec.attack]
            raise SpecError(
                f"settings for an attack that is not run: {suggest('attack', name, known)}"
            )
    for text in spec.defence:
        make_defence(text)
    for what, network in (("student", spec.student), ("network", spec.network)):
        if network is not None and network not in NETWORKS:
            raise SpecError(suggest(what, network, list(NETWORKS)))
    answer_kind(spec.answers)


def _check_access(spec: Spec) -> None:
    for name in spec.attack:
        check_access(make_attack(name, spec.set), name, spec.access)
    if spec.access == "white-box" and spec.defence:
        raise SpecError(WITHOUT_DEFENCES)
    check_budget(spec.budget, spec.access)


def _check_victim(spec: Spec) -> None:
    if spec.victim in VICTIMS or spec.victim in TABLE_VICTIMS:
        given = [key for key in OWN if getattr(spec, key)]
        if given:
            raise SpecError(
                f"{given[0]} describes a victim of your own; {spec.victim} is one of the zoo, "
                "which knows its own"
            )
    elif url := endpoint_url(spec):
        check_endpoint(url, spec.endpoint or EndpointSettings())
    elif given := [key for key in REMOTE if getattr(spec, key) is not None]:
        raise SpecError(
            f"{given[0]} describes an endpoint, {spec.victim} is none: give its address as the "
            "victim, or as endpoint.url"
        )
    elif (Path(spec.victim) / "spec.toml").is_file():
        raise SpecError(f"{spec.victim} is a run folder: `clonecost resume {spec.victim}` goes on")
    elif ":" not in spec.victim and not Path(spec.victim).suffix:
        raise SpecError(
            suggest("victim", spec.victim, [*VICTIMS, *TABLE_VICTIMS])
            + "; or give your own: package.module:name, weights.safetensors, model.onnx, "
            "program.pt2, model.skops, or the address of an endpoint"
        )


def to_toml(spec: Spec) -> str:
    """The spec as a file that `clonecost audit` and `clonecost resume` read."""
    import tomlkit

    written = spec.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    return tomlkit.dumps({"victim": written.pop("victim"), **written})
