"""What a key names: attacks, defences, answers and devices out of words."""

from dataclasses import fields
from typing import Any, cast, get_args, get_type_hints

import torch
from pydantic import TypeAdapter, ValidationError

from clonecost.attacks import ATTACKS, PROFILES, Attack
from clonecost.config.key import parse_value
from clonecost.defences import DEFENCES
from clonecost.errors import SpecError, suggest
from clonecost.types import AnswerKind, Defence


def make_attack(name: str, settings: dict[str, Any]) -> Attack:
    """NAME or NAME:PROFILE, with the settings under its NAME put in."""
    base, _, profile = name.partition(":")
    if base not in ATTACKS:
        raise SpecError(suggest("attack", base, list(ATTACKS)))
    if profile and profile not in PROFILES[base]:
        raise SpecError(suggest(f"profile of {base}", profile, list(PROFILES[base])))
    attack = PROFILES[base][profile] if profile else ATTACKS[base]()
    return cast(Attack, _with(attack, settings.get(base, {}), base))


def make_defence(text: str) -> Defence:
    """NAME or NAME:key=value,key=value."""
    name, _, rest = text.partition(":")
    if name not in DEFENCES:
        raise SpecError(suggest("defence", name, list(DEFENCES)))
    settings = dict(_pair(part, text) for part in rest.split(",") if part)
    return cast(Defence, _with(DEFENCES[name](), settings, name))


def _pair(part: str, text: str) -> tuple[str, Any]:
    key, equals, value = part.partition("=")
    if not equals:
        raise SpecError(f"{text!r}: {part!r} is not of the form key=value")
    return key.strip(), parse_value(value)


def _with(part: Any, settings: dict[str, Any], name: str) -> Any:
    """`part` with some fields replaced; names and types are checked before it sees them."""
    types = get_type_hints(type(part))
    values = {field.name: getattr(part, field.name) for field in fields(part)}
    for key, value in settings.items():
        if key not in values:
            raise SpecError(suggest(f"setting of {name}", key, list(values)))
        # TOML has no null: the word stands for it where the field can be None
        nothing = value == "none" and type(None) in get_args(types[key])
        values[key] = None if nothing else value
    try:
        return TypeAdapter(type(part)).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise SpecError(f"{name}.{key} = {first['input']!r}: {first['msg']}") from error


def answer_kind(text: str) -> tuple[AnswerKind, int | None]:
    """probs, label or top_k:K -> the kind, and K."""
    kind, _, k = text.partition(":")
    if kind == "top_k" and k.isdigit():
        return "top_k", int(k)
    if text in ("probs", "label"):
        return cast(AnswerKind, text), None
    raise SpecError(f"answers {text!r}: choose probs, top_k:K (K a number) or label")


def make_device(name: str) -> torch.device:
    """auto, cpu, cuda, cuda:N or mps; refused when this machine does not have it."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda", "mps"):
            raise RuntimeError("no such kind")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        found = ["cpu", *(f"cuda:{k}" for k in range(torch.cuda.device_count()))]
        raise SpecError(
            f"the device {name!r} is not there ({str(error).splitlines()[0]}); "
            f"this machine has: {', '.join(found)}"
        ) from error
    return device
