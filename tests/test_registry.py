"""The registry: what it reads from a source is what importing the file gives, for every part."""

import importlib
import re
import sys
from collections.abc import Iterator
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any, get_args

import pytest

import clonecost.attacks
from clonecost.attacks import ATTACKS, PROFILES
from clonecost.attacks.base import BySettings
from clonecost.attacks.base import Declaration as AttackDeclaration
from clonecost.countermeasures import COUNTERMEASURES
from clonecost.defences import DEFENCES
from clonecost.detectors import DETECTORS
from clonecost.errors import SpecError
from clonecost.registry import KINDS, Parts, camel_case, names, snake_case

KINDS_OF_PARTS = (ATTACKS, DEFENCES, COUNTERMEASURES, DETECTORS)
EVERY_PART = [(parts, name) for parts in KINDS_OF_PARTS for name in parts]
every_part = pytest.mark.parametrize(("parts", "name"), EVERY_PART, ids=[n for _, n in EVERY_PART])


@every_part
def test_the_source_says_what_the_imported_class_is(parts: Parts[Any], name: str) -> None:
    source, part = parts.source(name), parts[name]
    module = sys.modules[part.__module__]
    assert part.__module__ == f"{parts.package}.{name}"
    assert source.summary == (module.__doc__ or "").splitlines()[0]
    assert len(source.summary) > 10
    assert type(part.declares)(**source.declared) == part.declares
    assert list(source.profiles) == list(parts.profiles()[name])
    assert [setting.name for setting in source.settings] == [f.name for f in fields(part)]
    for setting, field in zip(source.settings, fields(part), strict=True):
        homes = [vars(sys.modules[base.__module__]) for base in part.__mro__[:-1]]
        assert field.default is not MISSING
        assert any(_evaluates(setting.default, home, field.default) for home in homes), setting


def _evaluates(text: str, names: dict[str, Any], value: object) -> bool:
    try:
        return bool(eval(text, dict(names)) == value)
    except NameError:  # a constant of the file of another base class
        return False


@every_part
def test_every_setting_has_a_meaning(parts: Parts[Any], name: str) -> None:
    for setting in parts.source(name).settings:
        words = setting.meaning.split()
        assert len(words) > 1, f"{name}.{setting.name} needs a comment: what does it do?"


@every_part
def test_every_part_has_its_page(parts: Parts[Any], name: str) -> None:
    docs = Path(__file__).parents[1] / "docs"
    if parts is COUNTERMEASURES:  # they share one page, with a line in its table for each
        page = docs / "countermeasures.md"
        assert f"\n| `{name}` |" in page.read_text(encoding="utf-8")
    else:
        page = docs / parts.kind / f"{name}.md"
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert len(text.splitlines()) > 10
    settings = parts.source(name).settings
    assert any(setting.name in text for setting in settings) or not settings


@pytest.mark.parametrize("parts", KINDS_OF_PARTS, ids=lambda parts: parts.kind)
def test_every_declared_property_is_explained(parts: Parts[Any]) -> None:
    base = importlib.import_module(f"{parts.package}.base")
    explained = {setting.name: setting.meaning for setting in parts.base("Declaration")}
    assert list(explained) == [field.name for field in fields(base.Declaration)]
    assert all(len(meaning) > 10 for meaning in explained.values())


@pytest.mark.parametrize("kind", KINDS)
def test_names_of_every_kind(kind: Any) -> None:
    found = names(kind)
    assert len(found) == len(set(found))
    assert found
    assert all(name == name.lower() for name in found)


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(SpecError, match=r"no list of 'atacks'.*want attacks"):
        names("atacks")  # type: ignore[arg-type]


def test_case() -> None:
    for snake, camel in (("dfme", "Dfme"), ("dual_students", "DualStudents")):
        assert camel_case(snake) == camel
        assert snake_case(camel) == snake


# -- a folder of one's own -----------------------------------------------------------------------

NOISE = '''"""Noise: as short as an attack can be."""

from dataclasses import dataclass
from typing import ClassVar

from clonecost.attacks.base import Declaration


@dataclass(frozen=True, kw_only=True)
class Noise:
    # rows of a batch,
    # at most
    batch_size: int = 2 * 128  # B
    other: str = "a # b"

    declares: ClassVar = Declaration({declared})
{more}

PROFILES = {{"short": Noise(batch_size=1)}}
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose files are attacks, too."""
    monkeypatch.setattr(clonecost.attacks, "__path__", [*clonecost.attacks.__path__, str(tmp_path)])
    sys.modules.pop("clonecost.attacks.noise", None)
    yield tmp_path
    sys.modules.pop("clonecost.attacks.noise", None)


def write(folder: Path, declared: str = 'needs="label"', more: str = "") -> None:
    (folder / "noise.py").write_text(NOISE.format(declared=declared, more=more))


def test_a_new_attack_is_one_file(folder: Path) -> None:
    shipped = list(ATTACKS)
    assert "noise" not in ATTACKS
    write(folder)
    (folder / "_shared.py").write_text("raise RuntimeError('no part, so nobody imports it')")
    assert sorted([*shipped, "noise"]) == list(ATTACKS) == names("attacks")
    source = ATTACKS.source("noise")
    batch_size, other = source.settings
    assert (batch_size.default, batch_size.meaning) == ("2 * 128", "rows of a batch, at most B")
    assert (other.default, other.meaning) == ('"a # b"', "")
    assert (source.summary, source.profiles) == ("Noise: as short as an attack can be.", ("short",))
    assert "clonecost.attacks.noise" not in sys.modules
    noise: Any = ATTACKS["noise"]
    assert noise().batch_size == 256
    assert PROFILES["noise"] == {"short": noise(batch_size=1)}


def test_loading_a_part_imports_its_file_only(folder: Path) -> None:
    write(folder)
    before = set(sys.modules)
    assert ATTACKS["noise"].__name__ == "Noise"
    assert set(sys.modules) - before == {"clonecost.attacks.noise"}


@pytest.mark.parametrize(
    ("declared", "more", "said"),
    [
        ('need="label"', "", "unexpected keyword argument 'need'"),
        ('needs="labels"', "", "needs .*: got 'labels', want label or top_k or probs"),
        ('needs="label", by_settings=("generator",)', "", "by_settings .*: got 'generator'"),
        ('needs="label", by_settings=("generators",)', "", "want \\[\\]"),
        ('needs="label"', "    generators = ()", "want \\['generators'\\]"),
        ("", "", "missing 1 required keyword-only argument: 'needs'"),
        ('needs="label"', "    declare: ClassVar = declares", "got declare, want declares"),
    ],
)
def test_a_misspelt_declaration_is_an_error_at_import(
    declared: str, more: str, said: str, folder: Path
) -> None:
    write(folder, declared, more)
    with pytest.raises((SpecError, TypeError, RuntimeError)) as caught:
        ATTACKS["noise"]
    chain = f"{caught.value} {caught.value.__cause__}"  # Python 3.11 wraps what a class is told
    assert re.search(said, chain), chain


def test_a_file_without_its_class_is_named(folder: Path) -> None:
    (folder / "noise.py").write_text("class Nose: ...")
    with pytest.raises(SpecError, match=r"clonecost\.attacks\.noise has no class Noise"):
        ATTACKS["noise"]


def test_an_unknown_part_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        ATTACKS["base"]
    assert ATTACKS.get("dfmee") is None


def test_what_depends_on_settings_is_explained() -> None:
    explained = AttackDeclaration.__doc__ or ""
    assert all(f"`{name}" in explained for name in get_args(BySettings))
    assert asdict(AttackDeclaration(needs="label"))["by_settings"] == ()
