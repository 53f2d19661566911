"""The parts of a package by name: one file each, found in its folder, imported on first use.

A part is a file such as `attacks/dual_students.py` whose class has the file's name in CamelCase,
`DualStudents`. `base.py` and files whose name begins with `_` are not parts. A new part is a new
file: there is no list of names.

Names, summaries, declarations and settings are read from the source without importing it, since the
file of an attack imports torch. Loading a part imports its file and no other part's.
"""

import ast
import io
import pkgutil
import re
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, TypeVar, cast, get_args

from clonecost.errors import ChooseFrom, Listed, SpecError

T = TypeVar("T")

# The mappings with the names of each kind, or functions that return one. Dotted paths, because this
# module lies below all of them.
_LISTS: dict[Listed, tuple[str, ...]] = {
    "attacks": ("attacks.ATTACKS",),
    "victims": (
        "victims.zoo.catalogue.VICTIMS",
        "victims.zoo.catalogue.TABLE_VICTIMS",
        "victims.zoo.catalogue.TEXT_VICTIMS",
    ),
    "datasets": (
        "data.catalogue.DATASETS",
        "data.bundled_tables.TABLES",
        "data.text_catalogue.TEXTS",
    ),
    "networks": ("networks.catalogue.NETWORKS",),
    "defences": ("defences.DEFENCES",),
    "countermeasures": ("countermeasures.COUNTERMEASURES",),
    "detectors": ("detectors.DETECTORS",),
    "generators": ("generators.catalogue.GENERATORS",),
    "suites": ("suite.bundled.shipped",),
    "backbones": ("backbones.catalogue.BACKBONES",),
}
KINDS: tuple[Listed, ...] = get_args(Listed)


def mappings(kind: Listed) -> list[Mapping[str, Any]]:
    """The mappings from the names of one kind to its parts.

    Raises:
        SpecError: there is no such kind.
    """
    if kind not in _LISTS:
        raise SpecError(f"There is no list of {kind!r}", got=kind, want=" or ".join(KINDS))
    found = []
    for path in _LISTS[kind]:
        module, _, attribute = path.rpartition(".")
        held = getattr(import_module(f"clonecost.{module}"), attribute)
        found.append(held() if callable(held) else held)
    return found


def names(kind: Listed) -> list[str]:
    """The names of all attacks, victims, data sets and so on.

    Args:
        kind: "attacks", "victims", "datasets", "networks", "defences", "countermeasures",
            "detectors", "generators", "suites" or "backbones".

    Raises:
        SpecError: there is no such kind.

    Example:
        >>> names("defences")
        ['dawn', 'mad', 'modelguard_w', 'noise', 'reverse_sigmoid', 'rounding', 'temperature']
    """
    return [name for mapping in mappings(kind) for name in mapping]


@dataclass(frozen=True)
class Setting:
    """A field of a dataclass, as it is in the source."""

    name: str
    default: str  # as in the source; empty: the field is required
    meaning: str  # the comments above the field and after it


@dataclass(frozen=True)
class Source:
    """The source of a part, read without importing it."""

    file: Path
    class_name: str

    @property
    def summary(self) -> str:
        """The first line of the file's docstring."""
        return (ast.get_docstring(_tree(self.file)) or "").partition("\n")[0]

    @property
    def declared(self) -> Mapping[str, object]:
        """The keywords of the class's `declares = Declaration(...)`."""
        node = _class(_tree(self.file), self.class_name)
        return _declared(self.file, node) if node else {}

    @property
    def settings(self) -> tuple[Setting, ...]:
        """The fields of the class, those of its base classes first, as the dataclass has them."""
        return _settings(self.file, self.class_name)

    @property
    def profiles(self) -> tuple[str, ...]:
        """The names in the file's `PROFILES`."""
        return _keys(_tree(self.file), "PROFILES")


class Parts(Mapping[str, type[T]], Generic[T]):
    """The classes of a package's parts by name; the class is imported when its name is looked up.

    Args:
        package: the dotted name of the package, such as "clonecost.attacks".
        kind: the kind of its parts in the lists.

    Raises:
        SpecError: on look-up, if a file lacks the class of its name.

    Example:
        >>> Parts("clonecost.defences", "defences")["rounding"].__name__
        'Rounding'
    """

    def __init__(self, package: str, kind: Listed) -> None:
        self.package, self.kind = package, kind

    def __iter__(self) -> Iterator[str]:
        found = pkgutil.iter_modules(map(str, self._folders()))
        return iter(sorted(module.name for module in found if _is_part(module.name)))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        try:
            self._file(str(name))
        except KeyError:
            return False
        return True

    def __getitem__(self, name: str) -> type[T]:
        found = getattr(self._module(name), camel_case(name), None)
        if not isinstance(found, type):
            raise SpecError(
                f"{self.package}.{name} has no class {camel_case(name)}", ChooseFrom(self.kind)
            )
        return cast(type[T], found)

    def source(self, name: str) -> Source:
        """The source of a part, read without importing it.

        Raises:
            KeyError: there is no such part.
        """
        return Source(self._file(name), camel_case(name))

    def base(self, name: str) -> tuple[Setting, ...]:
        """The fields of a dataclass in the package's `base.py`, such as `Declaration`."""
        folder = next(iter(self._folders()))
        return _settings(folder / "base.py", name)

    def profiles(self) -> "Profiles[T]":
        """The named settings of every part."""
        return Profiles(self)

    def _module(self, name: str) -> Any:
        self._file(name)
        return import_module(f"{self.package}.{name}")

    def _file(self, name: str) -> Path:
        files = (folder / f"{name}.py" for folder in self._folders() if _is_part(name))
        for file in files:
            if file.is_file():
                return file
        raise KeyError(name)

    def _folders(self) -> list[Path]:
        return [Path(folder) for folder in import_module(self.package).__path__]


class Profiles(Mapping[str, Mapping[str, T]], Generic[T]):
    """Named settings of each part: the dictionary `PROFILES` of its file, or none."""

    def __init__(self, parts: Parts[T]) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, name: str) -> Mapping[str, T]:
        return cast(Mapping[str, T], getattr(self._parts._module(name), "PROFILES", {}))


def _is_part(name: str) -> bool:
    return name.isidentifier() and name != "base" and not name.startswith("_")


def camel_case(name: str) -> str:
    """dual_students -> DualStudents"""
    return "".join(word.capitalize() for word in name.split("_"))


def snake_case(name: str) -> str:
    """DualStudents -> dual_students"""
    return re.sub(r"(?<!^)(?<!_)(?=[A-Z])", "_", name).lower()


# -- reading a source ----------------------------------------------------------------------------


@cache
def _tree(file: Path) -> ast.Module:
    """The file without the methods behind `declares`, which are most of it, but with `PROFILES`."""
    text = file.read_text(encoding="utf-8")
    declared = re.search(r"^    declares: ", text, re.MULTILINE)
    method = re.compile(r"^    (?:def|@)", re.MULTILINE)
    methods = method.search(text, declared.end()) if declared else None
    if methods is None:
        return ast.parse(text)
    profiles = re.compile(r"^PROFILES\b.*", re.MULTILINE | re.DOTALL).search(text, methods.end())
    return ast.parse(text[: methods.start()] + (profiles.group() if profiles else ""))


def _class(tree: ast.Module, name: str) -> ast.ClassDef | None:
    classes = (node for node in tree.body if isinstance(node, ast.ClassDef))
    return next((node for node in classes if node.name == name), None)


def _bases(file: Path, node: ast.ClassDef) -> Iterator[tuple[Path, ast.ClassDef]]:
    """Base classes that are imported from a file of the same package, with that file."""
    wanted = {base.id for base in node.bases if isinstance(base, ast.Name)}
    for line in _tree(file).body:
        if isinstance(line, ast.ImportFrom) and line.module:
            home = file.with_name(f"{line.module.rpartition('.')[2]}.py")
            for name in wanted & {alias.name for alias in line.names}:
                if home.is_file() and (base := _class(_tree(home), name)):
                    yield home, base


def _declared(file: Path, node: ast.ClassDef) -> Mapping[str, object]:
    """The keywords of `declares`, its own or those of a base class."""
    for line in node.body:
        if (
            isinstance(line, ast.AnnAssign)
            and isinstance(line.target, ast.Name)
            and isinstance(line.value, ast.Call)
            and line.target.id == "declares"
        ):
            return {str(k.arg): ast.literal_eval(k.value) for k in line.value.keywords}
    return next((_declared(*base) for base in _bases(file, node)), {})


def _settings(file: Path, class_name: str) -> tuple[Setting, ...]:
    node = _class(_tree(file), class_name)
    if node is None:
        return ()
    found: dict[str, Setting] = {}
    for home, base in _bases(file, node):
        found |= {setting.name: setting for setting in _settings(home, base.name)}
    text = file.read_text(encoding="utf-8")
    lines, comments = text.encode().splitlines(), _comments(text)
    for line in node.body:
        if not isinstance(line, ast.AnnAssign) or not isinstance(line.target, ast.Name):
            continue
        if any(isinstance(n, ast.Name) and n.id == "ClassVar" for n in ast.walk(line.annotation)):
            continue
        default = _written(lines, line.value) if line.value else ""
        name, meaning = line.target.id, _meaning(line, comments)
        if not meaning and name in found:
            meaning = found[name].meaning  # another default for what the base class explains
        found[name] = Setting(name, default, meaning)
    return tuple(found.values())


def _written(lines: list[bytes], value: ast.expr) -> str:
    """As `ast.get_source_segment`, which splits the whole source each time."""
    last = value.end_lineno or value.lineno
    part = lines[value.lineno - 1 : last]
    part[-1] = part[-1][: value.end_col_offset]
    part[0] = part[0][value.col_offset :]
    return b"\n".join(part).decode()


def _meaning(line: ast.AnnAssign, comments: Mapping[int, tuple[bool, str]]) -> str:
    """The block of comments right above a field, then those on its own lines."""
    first = line.lineno
    while comments.get(first - 1, (False, ""))[0]:
        first -= 1
    lines = range(first, (line.end_lineno or line.lineno) + 1)
    return " ".join(comments[n][1] for n in lines if n in comments and comments[n][1])


def _comments(text: str) -> dict[int, tuple[bool, str]]:
    """line number -> (whether the comment fills the line, its text)."""
    found = {}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            comment = token.string.lstrip("#").strip()
            whole = token.line.lstrip().startswith("#")
            found[token.start[0]] = whole, re.sub(r"\s*(?:# )?(?:fmt|noqa|type):.*", "", comment)
    return found


def _keys(tree: ast.Module, name: str) -> tuple[str, ...]:
    """The keys of the dictionary that the file assigns to `name`."""
    for line in tree.body:
        targets = line.targets if isinstance(line, ast.Assign) else []
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            held = cast(ast.Assign, line).value
            keys = held.keys if isinstance(held, ast.Dict) else []
            return tuple(str(ast.literal_eval(key)) for key in keys if key is not None)
    return ()
