"""TOML to a checked spec, and back."""

import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from clonecost.attacks.base import check_access
from clonecost.audit import wrong_kind
from clonecost.config.defaults import endpoint_url, generators_of, of_table
from clonecost.config.key import keys, refused
from clonecost.config.lookup import answer_kind, make_attack, make_defence, make_device
from clonecost.config.schema import Spec
from clonecost.errors import (
    Advice,
    DropKey,
    RunWorkflow,
    SpecError,
    suggest,
)
from clonecost.generators import is_path, row_and_epochs
from clonecost.networks import NETWORKS
from clonecost.types import check_budget
from clonecost.victims.endpoints import EndpointSettings, check_endpoint
from clonecost.victims.zoo.catalogue import TABLE_VICTIMS, VICTIMS

S = TypeVar("S", bound=BaseModel)


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
    """Check what was written, and that the names in it exist.

    Args:
        where: what holds the keys, for the messages.
        asks: whether an attack asks the victim, and must fit it.

    Raises:
        SpecError: a key is unknown or missing, a value is refused, or two keys contradict.
    """
    spec = validated(written, where, Spec)
    _check_names(spec, asks)
    # "auto" is settled now: floats differ between devices, so a run stays on the one it began on
    return spec.model_copy(update={"device": str(make_device(spec.device))})


def validated(written: dict[str, Any], where: str, model: type[S]) -> S:
    """The keys by their types alone.

    A white-box reference has the budget 0 unless another is written, because it sends no query.

    Raises:
        SpecError: a key is unknown (the nearest one is suggested) or missing, or has a value that
            its type refuses.
    """
    if written.get("access") == "white-box":
        written = {"budget": 0, **written}
    try:
        return model.model_validate(written)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise SpecError(f"{where}: {suggest('key', key, list(model.model_fields))}") from error
        if first["type"] == "missing":
            raise SpecError(f"{where}: the key {key!r} is needed") from error
        raise refused(f"{where}: {key}", error) from error


def _check_names(spec: Spec, asks: bool) -> None:
    _check_victim(spec)
    for key in ("attack", "seed"):
        given = getattr(spec, key)
        if len(set(given)) < len(given):
            raise SpecError(
                f"The key {key} has the same value twice",
                Advice("give each value once"),
                got=", ".join(map(str, given)),
            )
    _check_access(spec)
    for name in spec.attack if asks else ():
        if reason := wrong_kind(name, make_attack(name, spec.set), table=of_table(spec)):
            raise SpecError(reason)
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
        raise SpecError(
            "A white-box reference reads the network behind the defences, so it takes none",
            DropKey("defence"),
        )
    check_budget(spec.budget, spec.access)


def _check_victim(spec: Spec) -> None:
    if spec.victim in VICTIMS or spec.victim in TABLE_VICTIMS:
        if given := _given(spec, "own victim", "endpoint"):
            raise SpecError(
                f"The key {given} describes a victim of your own, and {spec.victim} is one of the "
                "zoo",
                DropKey(given),
            )
    elif url := endpoint_url(spec):
        check_endpoint(url, spec.endpoint or EndpointSettings())
    elif given := _given(spec, "endpoint"):
        raise SpecError(
            f"The key {given} describes an endpoint, and {spec.victim} is none",
            DropKey(given),
            Advice("give the address as the victim, or as `endpoint.url`"),
        )
    elif (Path(spec.victim) / "spec.toml").is_file():
        raise SpecError(f"{spec.victim} is a run folder", RunWorkflow("resume", spec.victim))
    elif ":" not in spec.victim and not Path(spec.victim).suffix:
        raise SpecError(
            suggest("victim", spec.victim, [*VICTIMS, *TABLE_VICTIMS]),
            Advice(
                "give your own: package.module:name, weights.safetensors, model.onnx, "
                "program.pt2, model.skops, or the address of an endpoint"
            ),
        )


def _given(spec: Spec, *kinds: str) -> str | None:
    """The first key that describes a victim of these kinds only, and is given."""
    usual = Spec(victim=spec.victim)
    for name, key in keys(Spec).items():
        if key.describes in kinds and getattr(spec, name) != getattr(usual, name):
            return name
    return None


def to_toml(spec: Spec) -> str:
    """The spec as a file that `clonecost audit` and `clonecost resume` read."""
    import tomlkit

    written = spec.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    if spec.access == "white-box":  # whose implied budget is 0, not the default
        written["budget"] = spec.budget
    return tomlkit.dumps({"victim": written.pop("victim"), **written})
