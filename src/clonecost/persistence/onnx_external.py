"""The files outside of an ONNX file that hold its tensors, read without the onnx package.

An ONNX file is a protocol buffer. A tensor in it may name a file in the same folder; only the
fields on the way to such names are read here, and tensors' own bytes are skipped.
"""

import hashlib
import mmap
from collections.abc import Iterator
from pathlib import Path

from clonecost.errors import Advice, VictimError
from clonecost.persistence.disk import file_digest

# message -> its fields that lead to a tensor, by number (onnx.proto)
FIELDS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
    "entry": {1: "key", 2: "value"},
}
LONGEST = 80  # characters of a name in a message
DEEPEST = 100  # messages inside of messages: the limit of protocol buffers' own readers


def external_files(path: Path) -> list[Path]:
    """The files beside an ONNX file that hold its tensors, sorted.

    Raises:
        VictimError: the file is no ONNX file, or names a file that is missing or outside of its
            folder.
    """
    if path.stat().st_size == 0:
        raise VictimError(f"{path} is empty", Advice("export the model again"))
    try:
        with path.open("rb") as file:
            # not closed by hand: an exception's frames hold views of it
            content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        names = sorted(set(_locations(content, "model", 0)))
    except (IndexError, ValueError) as error:
        raise VictimError(f"{path} cannot be loaded as ONNX: it is cut short or no ONNX file",
                          Advice("export the model again")) from error  # fmt: skip
    folder = path.resolve().parent
    found = []
    for name in names:
        file_of_tensor = path.parent / name
        try:
            inside = file_of_tensor.resolve().is_relative_to(folder)
            there = file_of_tensor.is_file()
        except (OSError, ValueError) as error:  # a null byte, or a name that is too long
            raise VictimError(
                f"{path} takes its weights from {name[:LONGEST]!r}, which is no name of a file",
                Advice("export the model again"),
            ) from error
        if not inside:
            raise VictimError(
                f"{path} takes its weights from {name!r}, outside of its folder",
                Advice("save the model again with its weights inside or beside it"),
            )
        if not there:
            raise VictimError(f"{path} takes its weights from {name!r}, which is missing",
                              Advice("copy the weights file beside the model"))  # fmt: skip
        found.append(file_of_tensor)
    return found


def onnx_digest(path: Path) -> str:
    """sha256 of an ONNX file; with weights outside, of all names and digests one after the other.

    Raises:
        VictimError: see `external_files`.
    """
    own, outside = file_digest(path), external_files(path)
    if not outside:
        return own
    facts = [own, *(f"{file.relative_to(path.parent)} {file_digest(file)}" for file in outside)]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def _locations(message: memoryview, kind: str, depth: int) -> Iterator[str]:
    if depth > DEEPEST:
        raise ValueError("too deep")
    wanted = FIELDS[kind]
    for number, content in _fields(message):
        if number not in wanted:
            continue
        if wanted[number] == "entry":
            entry = {FIELDS["entry"].get(n): bytes(value) for n, value in _fields(content)}
            if entry.get("key") == b"location":
                yield entry.get("value", b"").decode()
        else:
            yield from _locations(content, wanted[number], depth + 1)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The fields of a message that have a length: their numbers and contents."""
    at = 0
    while at < len(message):
        tag, at = _number(message, at)
        match tag & 7:
            case 0:
                _, at = _number(message, at)
            case 1:
                at += 8
            case 2:
                size, at = _number(message, at)
                if at + size > len(message):
                    raise ValueError("a field ends after its message")
                yield tag >> 3, message[at : at + size]
                at += size
            case 5:
                at += 4
            case _:
                raise ValueError("an unknown wire type")


def _number(message: memoryview, at: int) -> tuple[int, int]:
    """A number of up to ten bytes of seven bits, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a number of more than ten bytes")
