"""The keys of a spec: their declaration, and how a value is read from text.

A key is one field of a pydantic model. Its annotation holds a `Key`. From that and from the field's
type and default come the flag of the command line, the line of `--help`, the row of the key table
in `docs/spec.md`, the reading of TOML and every check:

    budget: Annotated[int, Field(ge=0), Key("Rows that an attack may send.", metavar="ROWS")] = 10

This module imports neither torch nor anything that does: `--help` needs it.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from clonecost.errors import Listed, SpecError

T = TypeVar("T")
Scalar = bool | int | float | str

# How a key is written on the command line:
Form = Literal[
    "switch",  # --key, or --key/--no-key
    "value",  # --key VALUE
    "repeated",  # --key VALUE --key VALUE
    "commas",  # --key VALUE,VALUE
    "settings",  # --key PART.FIELD=VALUE, repeated
    "table",  # no flag: too much for a command line, so in a file only
]

SHOWN = 200  # characters of a refused value
SEVERAL = BeforeValidator(lambda value: value if isinstance(value, list) else [value])
# A list: in TOML one value needs no brackets, and its flag may be given several times.
Several = Annotated[list[T], SEVERAL]

# What a field's type wants, by pydantic's name of the error; other errors keep pydantic's words.
WANTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "{ge:g} or more",
    "less_than": "a number below {lt:g}",
    "literal_error": "{expected}",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "tuple_type": "a list",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "too_short": "at least {min_length} value",
}


@dataclass(frozen=True)
class Key:
    """A marker in a field's annotation: what the field's type and default do not state.

    Args:
        help: what the key means, one sentence or two. Another key is written `like_this`; the
            command line shows that key's flag instead.
        metavar: the placeholder of the value in `--help`; by default it follows from the type.
        default: the default in words, for a key whose default other keys imply.
        panel: the group of the key in `--help` and in the key table.
        choices: the list of names from which a shell completes the value.
        free: whether the key may change when a run resumes, because no query depends on it.
        describes: the only kind of victim that has the key; None: every victim.
    """

    help: str
    metavar: str = ""
    default: str = ""
    panel: str = ""
    choices: Listed | None = None
    free: bool = False
    describes: Literal["own victim", "endpoint"] | None = None


def keys(model: type[BaseModel]) -> dict[str, Key]:
    """The `Key` of every field of the model, in the order of the model.

    Raises:
        TypeError: a field has no `Key`.
    """
    return {name: key_of(name, field) for name, field in model.model_fields.items()}


def key_of(name: str, field: FieldInfo) -> Key:
    """The `Key` in the annotation of the field `name`.

    Raises:
        TypeError: the field has no `Key`.
    """
    for mark in field.metadata:
        if isinstance(mark, Key):
            return mark
    raise TypeError(f"the field {name!r} has no Key in its annotation")


def form(field: FieldInfo) -> Form:
    """How the key is written on the command line, by the field's type."""
    kind = _some(field)
    origin = get_origin(kind) or kind
    if origin is bool:
        return "switch"
    if origin is list:
        item = _bare(get_args(kind)[0])
        if isinstance(item, type) and issubclass(item, BaseModel):
            return "table"
        return "repeated" if SEVERAL in field.metadata else "commas"
    if origin is dict:
        return "settings"
    if isinstance(origin, type) and issubclass(origin, BaseModel):
        return "table"
    return "value"


def metavar(field: FieldInfo, key: Key) -> str:
    """The placeholder of the value: the key's own, the choices of a Literal, or the type."""
    if key.metavar:
        return key.metavar
    kind = _some(field)
    if get_origin(kind) is list:
        kind = _bare(get_args(kind)[0])
    if get_origin(kind) is Literal:
        return "|".join(map(str, get_args(kind)))
    return {int: "N", float: "NUMBER", Path: "PATH", bool: "true|false"}.get(kind, "TEXT")


def default(field: FieldInfo, key: Key) -> str:
    """The default in the key's own words or as TOML has it; empty if there is none."""
    if key.default:
        return key.default
    value = None if field.is_required() else field.get_default(call_default_factory=True)
    if value is None or value is False or value == [] or value == {}:
        return ""
    items = value if isinstance(value, list) else [value]
    return ", ".join(f"{item:g}" if isinstance(item, float) else str(item) for item in items)


def read_flag(field: FieldInfo, flag: str, given: Any) -> Any:
    """Check the value of one flag and convert it to the field's type.

    Args:
        flag: the flag as the user wrote it, for the message.
        given: the flag's value: a text, a list of texts, or whether a switch is on.

    Raises:
        SpecError: the field does not take the value.

    Example:
        >>> read_flag(Spec.model_fields["milestones"], "--milestones", "1_000,2_000")
        [1000, 2000]
    """
    match form(field):
        case "commas":
            given = [part.strip() for part in given.split(",") if part.strip()]
        case "settings":
            given = _settings(given, flag)
    try:
        return TypeAdapter(field.rebuild_annotation()).validate_python(given)
    except ValidationError as error:
        raise refused(flag, error) from error


def refused(name: str, error: ValidationError) -> SpecError:
    """The error about the first value that pydantic refuses.

    Args:
        name: the key or the flag as the user wrote it.
    """
    first = error.errors(include_url=False)[0]
    if first["type"] == "value_error":  # raised by a validator of this package
        return SpecError(f"{name}: {first['msg'].removeprefix('Value error, ')}")
    want = WANTED.get(first["type"], first["msg"].removeprefix("Input should be "))
    want = want.format(**first.get("ctx", {}))
    return SpecError(f"{name} does not take this value", got=_shown(first["input"]), want=want)


def _shown(value: object) -> str:
    """A value that was refused, cut in its middle if it is long."""
    try:
        words = repr(value)
    except ValueError:  # Python writes no number of thousands of digits
        return "a number of thousands of digits"
    half = SHOWN // 2
    return words if len(words) <= SHOWN else f"{words[:half]} ... {words[-half:]}"


def parse_value(text: str) -> Scalar | list[float]:
    """The value of a setting, read as TOML; a bare word is text.

    Example:
        >>> parse_value("[0.1, 0.2]"), parse_value("l1")
        ([0.1, 0.2], 'l1')
    """
    try:
        return cast(Scalar, tomllib.loads(f"value = {text}")["value"])
    except tomllib.TOMLDecodeError:
        return text.strip()


def over(written: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The keys `written`, overridden by those `given`; tables are merged key by key.

    Example:
        >>> over({"budget": 1, "set": {"dfme": {"step": 1}}}, {"set": {"dfme": {"width": 2}}})
        {'budget': 1, 'set': {'dfme': {'step': 1, 'width': 2}}}
    """
    merged = dict(written)
    for name, value in given.items():
        old = merged.get(name)
        both_tables = isinstance(old, dict) and isinstance(value, dict)
        merged[name] = over(cast(dict[str, Any], old), value) if both_tables else value
    return merged


def _settings(texts: list[str], flag: str) -> dict[str, dict[str, Any]]:
    """Texts PART.FIELD=VALUE -> {part: {field: value}}."""
    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        left, equals, value = text.partition("=")
        part, dot, field = left.partition(".")
        if not (equals and dot):
            raise SpecError(
                f"{flag} does not take this value",
                got=repr(text),
                want="ATTACK.FIELD=VALUE, such as dfme.student_lr=0.03",
            )
        found.setdefault(part, {})[field] = parse_value(value)
    return found


def _some(field: FieldInfo) -> Any:
    """The field's type without None."""
    parts = [part for part in get_args(field.annotation) if part is not type(None)]
    optional = type(None) in get_args(field.annotation)
    return _bare(parts[0] if optional else field.annotation)


def _bare(kind: Any) -> Any:
    """A type without its annotations."""
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind
