"""What a key says about itself, and how its value is read from text."""

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from clonecost.config.key import (
    Key,
    Several,
    default,
    form,
    keys,
    metavar,
    over,
    parse_value,
    read_flag,
)
from clonecost.errors import SpecError


class Part(BaseModel):
    name: str = ""


class Model(BaseModel):
    """One field of every form."""

    name: Annotated[str, Key("A name.", metavar="NAME")]
    rows: Annotated[Annotated[int, Field(ge=1)] | None, Key("Rows.", default="as before")] = None
    share: Annotated[float, Field(gt=0, allow_inf_nan=False), Key("A share.")] = 120.0
    folder: Annotated[Path | None, Key("A folder.")] = None
    order: Annotated[Literal["up", "down"] | None, Key("An order.")] = None
    seeds: Annotated[Several[int], Field(min_length=1), Key("Seeds.")] = [0, 1]
    shape: Annotated[list[Annotated[int, Field(ge=1)]] | None, Key("A shape.")] = None
    fast: Annotated[bool, Key("Fast.")] = False
    settings: Annotated[dict[str, dict[str, int | str]], Key("Settings.")] = {}
    part: Annotated[Part | None, Key("A table.")] = None
    parts: Annotated[list[Part] | None, Key("Tables.")] = None


FIELDS = Model.model_fields
SAID = keys(Model)


def test_the_form_of_a_flag_follows_from_the_type() -> None:
    assert {name: form(field) for name, field in FIELDS.items()} == {
        "name": "value", "rows": "value", "share": "value", "folder": "value", "order": "value",
        "seeds": "repeated", "shape": "commas", "fast": "switch", "settings": "settings",
        "part": "table", "parts": "table",
    }  # fmt: skip


def test_the_metavar_follows_from_the_type_unless_it_is_said() -> None:
    found = {name: metavar(FIELDS[name], key) for name, key in SAID.items()}
    assert [found[name] for name in ("name", "rows", "share", "folder", "order", "shape")] == [
        "NAME", "N", "NUMBER", "PATH", "up|down", "N",
    ]  # fmt: skip


def test_the_default_is_the_fields_unless_it_is_implied() -> None:
    found = {name: default(FIELDS[name], key) for name, key in SAID.items()}
    assert {name: words for name, words in found.items() if words} == {
        "rows": "as before", "share": "120", "seeds": "0, 1",
    }  # fmt: skip


def test_a_field_without_a_key_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="the field 'name' has no Key"):
        keys(Part)


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [("rows", "10_000", 10_000), ("share", "1e-3", 0.001), ("folder", "a b", Path("a b")),
     ("order", "up", "up"), ("seeds", ["3", "4"], [3, 4]), ("shape", "1, 28,28", [1, 28, 28]),
     ("fast", False, False), ("name", "5", "5"),
     ("settings", ["a.b=3", "a.c=x"], {"a": {"b": 3, "c": "x"}})],
)  # fmt: skip
def test_a_flag_is_read_by_the_type_of_its_field(name: str, given: Any, value: Any) -> None:
    assert read_flag(FIELDS[name], f"--{name}", given) == value


@pytest.mark.parametrize(
    ("name", "given", "sentence"),
    [("rows", "many", "--rows does not take this value: got 'many', want a whole number."),
     ("rows", "1.5", "got '1.5', want a whole number."),
     ("rows", "0", "got '0', want 1 or more."),
     ("share", "x", "got 'x', want a number."),
     ("share", "0", "got '0', want a number above 0."),
     ("share", "nan", "got 'nan', want a finite number."),
     ("order", "left", "got 'left', want 'up' or 'down'."),
     ("seeds", ["1", "x"], "got 'x', want a whole number."),
     ("shape", "1,0", "got '0', want 1 or more."),
     ("settings", ["a=3"], "got 'a=3', want ATTACK.FIELD=VALUE"),
     ("settings", ["a.b"], "got 'a.b', want ATTACK.FIELD=VALUE")],
)  # fmt: skip
def test_a_refused_value_is_one_sentence_with_the_flag(
    name: str, given: Any, sentence: str
) -> None:
    with pytest.raises(SpecError) as refused:
        read_flag(FIELDS[name], f"--{name}", given)
    assert sentence in str(refused.value)
    assert str(refused.value).startswith(f"--{name} ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("3.5", 3.5), ("true", True), ("l1", "l1"), ("'l1'", "l1"), ("none", "none"),
     ("[0.1, 0.2]", [0.1, 0.2]), ("1e-4", 1e-4), ("", ""), ("a = b", "a = b")],
)  # fmt: skip
def test_values_of_the_command_line(text: str, value: object) -> None:
    assert parse_value(text) == value


def test_tables_are_merged_and_other_keys_are_replaced() -> None:
    written = {"set": {"a": {"x": 1, "y": 2}}, "seed": [1, 2], "budget": 5}
    given = {"set": {"a": {"x": 9}, "b": {"z": 3}}, "seed": [7]}
    assert over(written, given) == {
        "set": {"a": {"x": 9, "y": 2}, "b": {"z": 3}}, "seed": [7], "budget": 5,
    }  # fmt: skip
    assert written["set"] == {"a": {"x": 1, "y": 2}}
