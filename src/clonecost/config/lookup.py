"""Names in a spec -> attacks, defences, answers and devices."""

import re
from dataclasses import fields
from functools import cache
from typing import Any, cast, get_args, get_type_hints

import torch
from pydantic import TypeAdapter, ValidationError

from clonecost.attacks import ATTACKS, PROFILES, Attack
from clonecost.config.key import parse_value, refused
from clonecost.countermeasures import COUNTERMEASURES, Countermeasure
from clonecost.defences import DEFENCES
from clonecost.errors import ChooseFrom, Listed, SetKey, SpecError, suggest
from clonecost.registry import Parts
from clonecost.safe_text import first_line
from clonecost.types import AnswerKind, Defence

DEVICES = "auto, cpu, cuda, cuda:N or mps"


def make_attack(name: str, settings: dict[str, Any]) -> Attack:
    """The attack of NAME or NAME:PROFILE, with `settings[NAME]` over its own settings.

    Raises:
        SpecError: a name, profile or setting is unknown, or a setting has a wrong type.

    Example:
        >>> make_attack("knockoff", {"knockoff": {"epochs": 3}}).epochs
        3
    """
    base, _, profile = name.partition(":")
    if base not in ATTACKS:
        raise SpecError(suggest("attack", base, list(ATTACKS)), ChooseFrom("attacks"))
    if profile and profile not in PROFILES[base]:
        known = list(PROFILES[base])
        raise SpecError(suggest(f"profile of {base}", profile, known), SetKey("attack", base))
    attack = PROFILES[base][profile] if profile else ATTACKS[base]()
    return cast(Attack, _with(attack, settings.get(base, {}), base, "attacks"))


def make_defence(text: str) -> Defence:
    """The defence of NAME or NAME:key=value,key=value.

    Raises:
        SpecError: the name or a key is unknown, or a value has a wrong type.

    Example:
        >>> make_defence("rounding:decimals=2").decimals
        2
    """
    return cast(Defence, _part(text, "defence", "defences", DEFENCES))


def make_counter(text: str | None) -> Countermeasure | None:
    """The countermeasure of NAME or NAME:key=value,key=value; None: the attack has none.

    Raises:
        SpecError: the name or a key is unknown, or a value has a wrong type.

    Example:
        >>> make_counter("averaging:repeats=8").repeats
        8
    """
    if text is None:
        return None
    return cast(Countermeasure, _part(text, "counter", "countermeasures", COUNTERMEASURES))


def _part(text: str, key: str, kind: Listed, known: Parts[Any]) -> Any:
    """The part of NAME or NAME:key=value,key=value, which the user gives as `key`."""
    name, _, rest = text.partition(":")
    word = kind.removesuffix("s")
    if name not in known:
        raise SpecError(suggest(word, name, list(known)), ChooseFrom(kind))
    settings = dict(_pair(part, text, key, word) for part in rest.split(",") if part)
    return _with(known[name](), settings, name, kind)


def _pair(part: str, text: str, key: str, word: str) -> tuple[str, Any]:
    name, equals, value = part.partition("=")
    if not equals:
        raise SpecError(
            f"The {word} {text!r} has a part that is not a setting",
            SetKey(key), got=repr(part), want="key=value",
        )  # fmt: skip
    return name.strip(), parse_value(value)


def _with(part: Any, settings: dict[str, Any], name: str, kind: Listed) -> Any:
    """`part` with some fields replaced; names and types are checked before it is built."""
    if not settings:
        return part
    kind_of_part: Any = type(part)
    types = get_type_hints(kind_of_part)
    values = {field.name: getattr(part, field.name) for field in fields(part)}
    for key, value in settings.items():
        if key not in values:
            raise SpecError(
                suggest(f"setting of {name}", key, list(values)), ChooseFrom(kind, name)
            )
        # TOML has no null: the word stands for it where the field can be None
        nothing = value == "none" and type(None) in get_args(types[key])
        values[key] = None if nothing else value
    try:
        return _checks(kind_of_part).validate_python(values)
    except ValidationError as error:
        key = ".".join(map(str, error.errors()[0]["loc"]))
        raise refused(f"{name}.{key}", error) from error


@cache
def _checks(kind: Any) -> TypeAdapter[Any]:
    """Made once a class: it takes milliseconds, and a panel looks at its attacks 500 times."""
    return TypeAdapter(kind)


def answer_kind(text: str) -> tuple[AnswerKind, int | None]:
    """The kind of answers and K: "probs", "label" or "top_k:K" -> (kind, K or None).

    Raises:
        SpecError: the text is none of them.

    Example:
        >>> answer_kind("top_k:3")
        ('top_k', 3)
    """
    kind, _, k = text.partition(":")
    if kind == "top_k" and k.isdecimal():
        return "top_k", int(k)
    if text in ("probs", "label"):
        return cast(AnswerKind, text), None
    raise SpecError(
        "Unknown value of answers",
        SetKey("answers"),
        got=repr(text),
        want="probs, top_k:K or label",
    )


def make_device(name: str) -> torch.device:
    """The device of a name: auto, cpu, cuda, cuda:N or mps.

    Raises:
        SpecError: this machine does not have the device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found = ["cpu", *(f"cuda:{k}" for k in range(torch.cuda.device_count()))]
    found += ["mps"] if torch.backends.mps.is_available() else []
    if not re.fullmatch(r"cpu|mps|cuda(:\d{1,4})?", name):  # torch would list kinds that we lack
        raise SpecError(
            "There is no such device", SetKey("device"), got=repr(name),
            want=f"{DEVICES}; this machine has {' and '.join(found)}",
        )  # fmt: skip
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise SpecError(
            f"This machine does not have the device ({first_line(error)})",
            SetKey("device"), got=repr(name), want=" or ".join(found),
        ) from error  # fmt: skip
    return device
