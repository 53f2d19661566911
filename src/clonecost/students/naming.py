"""What a student's name says, read without torch: NAME[,KEY=VALUE,...]."""

import re
from dataclasses import dataclass
from typing import Any, Literal

from clonecost.backbones.catalogue import is_code
from clonecost.errors import ChooseFrom, SetKey, SpecError, suggest
from clonecost.networks.catalogue import NETWORKS

Kind = Literal["catalogue", "code", "timm", "torchvision", "backbone"]
LIBRARIES: tuple[Kind, ...] = ("timm", "torchvision")
# a name of a library's list: no path, and no address of somebody's own weights
PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
KEYS: dict[str, type] = {"pretrained": bool, "frozen": bool, "size": int, "weights": str}
TAKES: dict[Kind, tuple[str, ...]] = {
    "catalogue": ("weights",),
    "code": ("weights",),
    "timm": ("pretrained", "frozen", "size", "weights"),
    "torchvision": ("pretrained", "frozen", "size", "weights"),
    "backbone": ("frozen", "size", "weights"),
}


@dataclass(frozen=True, kw_only=True)
class StudentName:
    """A student as the user names it.

    Attributes:
        text: all of it, as it was written.
        kind: where the network comes from.
        name: within its kind: `resnet8`, `my_file.py:net`, `resnet18`, `efficientnet-lite0`.
        pretrained: it starts from the library's weights.
        frozen: only a new last layer is trained.
        size: pixels of the side to which it resizes its inputs; None: its own.
        weights: a safetensors file with its initial weights.
    """

    text: str
    kind: Kind
    name: str
    pretrained: bool = False
    frozen: bool = False
    size: int | None = None
    weights: str | None = None

    @property
    def code(self) -> str | None:
        """The Python code that it runs, as `module:name`; None: no code of the user's."""
        if self.kind == "code" or (self.kind == "backbone" and is_code(self.name)):
            return self.name
        return None

    @property
    def fetched(self) -> str | None:
        """The library from whose hub it takes weights if this machine lacks them; None: none."""
        return self.kind if self.kind in LIBRARIES and self.pretrained else None


def parse_student(text: str) -> StudentName:
    """Read a student's name. Nothing is imported or opened.

    - `resnet8`: a network of the catalogue.
    - `my_module:net`, `path/to/file.py:net`: the user's own.
    - `timm:NAME`, `torchvision:NAME`: of a library, with `pretrained=true` from its weights.
    - `backbone:NAME`: a pretrained public backbone with a new last layer.

    After a comma follow settings: `size=96`, `frozen=true`, `weights=start.safetensors`.

    Raises:
        SpecError: a setting is unknown, has a wrong value, or does not go with the student.

    Example:
        >>> parse_student("timm:resnet18,pretrained=true,size=96").size
        96
    """
    name, *rest = (part.strip() for part in text.split(","))
    word, colon, inner = name.partition(":")
    kind: Kind = "code" if colon else "catalogue"
    for known in (*LIBRARIES, "backbone"):
        if colon and word == known:
            kind, name = known, inner
    if kind in LIBRARIES and not PLAIN.fullmatch(name):
        raise SpecError(
            f"The student {text!r} names no model of {kind}", SetKey("student"), got=repr(name),
            want=f"a name of {kind}'s own list, such as {kind}:resnet18",
        )  # fmt: skip
    settings: dict[str, Any] = {}
    for part in rest:
        key, _, value = part.partition("=")
        if key not in TAKES[kind]:
            raise SpecError(
                f"The student {text!r} has a setting that it does not take", SetKey("student"),
                got=repr(part), want=" or ".join(f"{one}=..." for one in TAKES[kind]),
            )  # fmt: skip
        settings[key] = _value(text, key, value)
    return StudentName(text=text, kind=kind, name=name, **settings)


def must_be_listed(asked: StudentName) -> None:
    """Refuse an unknown name with all that serves as a student.

    Raises:
        SpecError: the name is not in the catalogue.
    """
    if asked.kind == "catalogue" and asked.name not in NETWORKS:
        raise SpecError(
            f"{suggest('network', asked.name, list(NETWORKS))}. Your own `file.py:name`, "
            "`timm:NAME`, `torchvision:NAME` and `backbone:NAME` serve, too",
            ChooseFrom("networks"), ChooseFrom("backbones"),
        )  # fmt: skip


def _value(text: str, key: str, value: str) -> bool | int | str:
    if KEYS[key] is str and value:
        return value
    if KEYS[key] is bool and value in ("true", "false"):
        return value == "true"
    if KEYS[key] is int and value.isascii() and value.isdigit() and 0 < int(value) <= 4096:
        return int(value)
    want = {bool: "true or false", int: "pixels, 1 to 4096", str: "a file"}[KEYS[key]]
    raise SpecError(
        f"{key} of the student {text!r} has a value that it does not take", SetKey("student"),
        got=repr(value), want=want,
    )  # fmt: skip
