"""TOML -> a checked spec, and back."""

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from clonecost.attacks.base import check_access
from clonecost.audit import check_takes
from clonecost.config.defaults import endpoint_url, generators_of, takes_of
from clonecost.config.key import keys, refused
from clonecost.config.lookup import answer_kind, make_attack, make_defence, make_device
from clonecost.config.panel_entries import (
    check_panel,
    must_fit,
    panel_attacks,
    panel_precision,
    panel_settings,
    possible_attacks,
)
from clonecost.config.schema import Spec
from clonecost.config.text_keys import check_text_keys
from clonecost.errors import (
    Advice,
    ChooseFrom,
    DropKey,
    RunWorkflow,
    SpecError,
    suggest,
)
from clonecost.generators import is_path, row_and_epochs
from clonecost.networks import NETWORKS
from clonecost.persistence.file_limits import KEY_PARTS, SPEC_FILE, at_home, regular_file
from clonecost.safe_text import first_line
from clonecost.students.naming import must_be_listed, parse_student
from clonecost.types import check_budget
from clonecost.victims.endpoints import (
    EndpointSettings,
    check_endpoint,
    must_be_no_other_address,
)
from clonecost.victims.file_kinds import READ, must_be_readable
from clonecost.victims.zoo.catalogue import NAMES

S = TypeVar("S", bound=BaseModel)
# Each start is at the start of a word, and no repetition gives back what it took: linear time.
_PART = r"""(?:"(?:\\.|[^"\\\n])*+"|'[^'\n]*+'|[\w-]++)"""
_LONG_KEY = re.compile(rf"(?<![\w-])(?:{_PART}[ \t]*+\.[ \t]*+){{{KEY_PARTS}}}")


def read_spec(path: Path) -> Spec:
    """Read a spec from a TOML file.

    Raises:
        SpecError: the file is missing or not TOML, or a key is unknown (the nearest one is
            suggested) or missing, has a refused value, or contradicts another.
    """
    return make_spec(read_toml(path), where=str(path))


def read_toml(path: Path) -> dict[str, Any]:
    """The keys of a TOML file, unchecked.

    Raises:
        SpecError: the file is missing or not TOML.
    """
    path = at_home(path)
    if regular_file(path, SpecError) > SPEC_FILE:
        raise SpecError(f"{path} is larger than {SPEC_FILE:,} bytes", Advice("give a TOML file"))
    try:
        text = path.read_text(encoding="utf-8-sig")
        if _LONG_KEY.search(text):
            raise SpecError(
                f"{path} has a key of more than {KEY_PARTS} parts", Advice("correct the file")
            )
        return tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise SpecError(
            f"{path} cannot be read as TOML: {_problem(error)}", Advice("correct the file")
        ) from error


def _problem(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "its values are nested too deeply"
    if isinstance(error, OSError | UnicodeDecodeError | tomllib.TOMLDecodeError):
        return first_line(error)
    return "a number in it has too many digits"  # Python's own limit, against slow conversions


def make_spec(written: dict[str, Any], *, where: str = "the audit", attacks: bool = True) -> Spec:
    """Check the keys of a spec, and that the names in them exist.

    Args:
        written: the keys with their values.
        where: what holds the keys, for the messages.
        attacks: whether the spec's attacks will query the victim, and so must fit it.

    Raises:
        SpecError: a key is unknown or missing, a value is refused, or two keys contradict.

    Example:
        >>> make_spec({"victim": "digits-lenet", "budget": 500}).budget
        500
    """
    spec = validated(written, where, Spec)
    check_panel(written, spec)
    if spec.panel is not None:
        spec = spec.model_copy(update={
            "attack": panel_attacks(spec), "set": panel_settings(spec),
            "input_precision": panel_precision(written, spec),
        })  # fmt: skip
    _check_names(spec, attacks)
    if spec.panel is not None:
        must_fit(spec)
    # "auto" is resolved now: floats differ between devices, so a run keeps its first device
    return spec.model_copy(update={"device": str(make_device(spec.device))})


def validated(written: dict[str, Any], where: str, model: type[S]) -> S:
    """Check the keys by their types alone.

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
            known = keys_beside(first["loc"], model)
            raise SpecError(f"{where}: {suggest('key', key, known)}", DropKey(key)) from error
        if first["type"] == "missing":
            raise SpecError(
                f"{where}: the key {key!r} is missing", Advice("give the key a value")
            ) from error
        raise refused(f"{where}: {key}", error) from error


def keys_beside(path: Sequence[int | str], model: type[BaseModel]) -> list[str]:
    """The keys that can stand where an unknown one does, each with the tables that it is in.

    Args:
        path: of the unknown key, as pydantic gives it: names of tables, places in lists.

    Example:
        >>> keys_beside(("endpoint", "rwo"), Spec)[:2]
        ['endpoint.url', 'endpoint.method']
    """
    level: type[BaseModel] = model
    for part in path[:-1]:
        field = level.model_fields.get(part) if isinstance(part, str) else None
        level = (_table_in(field.annotation) if field else None) or level
    before = "".join(f"{part}." for part in path[:-1])
    return [before + name for name in level.model_fields]


def _table_in(annotation: Any) -> type[BaseModel] | None:
    """The model of a table in a field's type, also as one of several or in a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_table_in(part) for part in get_args(annotation))
    return next((table for table in found if table), None)


def _check_names(spec: Spec, attacks: bool) -> None:
    _check_victim(spec)
    check_text_keys(spec)
    for key in ("attack", "seed"):
        given = getattr(spec, key)
        if len(set(given)) < len(given):
            raise SpecError(
                f"The key {key} has the same value twice",
                Advice("give each value once"), got=", ".join(map(str, given)),
            )  # fmt: skip
    _check_access(spec)
    for name in spec.attack if attacks else ():
        check_takes(name, make_attack(name, spec.set), takes_of(spec))
    for name in generators_of(spec):
        if not is_path(name):
            row_and_epochs(name)  # raises if the name is wrong
    known = [name.partition(":")[0] for name in possible_attacks(spec) or spec.attack]
    for name in spec.set:
        if name not in known:
            raise SpecError(
                f"The key set has settings of an attack that is not run; "
                f"{suggest('attack', name, known)}",
                DropKey(f"set.{name}"),
            )
    for text in spec.defence:
        make_defence(text)
    if spec.student is not None:
        must_be_listed(parse_student(spec.student))
    if spec.network is not None and spec.network not in NETWORKS:
        raise SpecError(suggest("network", spec.network, list(NETWORKS)), ChooseFrom("networks"))
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
    if endpoint_url(spec) is None:
        must_be_no_other_address(spec.victim)
    if spec.victim in NAMES:
        if given := _given(spec, "own victim", "endpoint"):
            raise SpecError(
                f"The key {given} describes your own victim, and {spec.victim} is in the zoo",
                DropKey(given),
            )
    elif url := endpoint_url(spec):
        check_endpoint(url, spec.endpoint or EndpointSettings())
    elif given := _given(spec, "endpoint"):
        raise SpecError(
            f"The key {given} describes an endpoint, and {spec.victim} is not an endpoint",
            DropKey(given),
            Advice("give the address as the victim, or as `endpoint.url`"),
        )
    elif (Path(spec.victim) / "spec.toml").is_file():
        raise SpecError(f"{spec.victim} is a run folder", RunWorkflow("resume", spec.victim))
    elif ":" not in spec.victim and not Path(spec.victim).suffix and not _is_there(spec.victim):
        raise SpecError(
            suggest("victim", spec.victim, list(NAMES)),
            Advice(
                "give your own: package.module:name, weights.safetensors, model.onnx, "
                "program.pt2, model.skops, or the address of an endpoint"
            ),
        )
    elif _is_there(spec.victim) or Path(spec.victim).suffix.lower() not in READ:
        must_be_readable(spec.victim)


def _is_there(victim: str) -> bool:
    return at_home(victim).exists()


def _given(spec: Spec, *kinds: str) -> str | None:
    """The first given key that only victims of these kinds have; None: no such key is given."""
    defaults = Spec(victim=spec.victim)
    for name, key in keys(Spec).items():
        if key.describes in kinds and getattr(spec, name) != getattr(defaults, name):
            return name
    return None


def to_toml(spec: Spec) -> str:
    """The spec as TOML, which `read_spec` reads; keys at their default are left out.

    The attack is always written: a file that names none is a panel.

    Example:
        >>> to_toml(Spec(victim="digits-lenet", attack="dfme", budget=500))
        'victim = "digits-lenet"\\nattack = ["dfme"]\\nbudget = 500\\n'
    """
    import tomlkit

    written = spec.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    if spec.access == "white-box" or spec.panel:  # they imply another budget than the default
        written["budget"] = spec.budget
    written.pop("attack", None)
    first = {"victim": written.pop("victim")}
    return tomlkit.dumps(first | ({} if spec.panel else {"attack": spec.attack}) | written)
