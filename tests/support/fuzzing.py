"""What a stranger may send, and the promise: a value or one sentence, soon, in little memory.

A run with `make check` makes few examples, always the same ones; `CLONECOST_FUZZ=N` makes N new
ones for each target (`make fuzz`).
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from tests.support.memory import peak_of_process

from clonecost.errors import CloneCostError
from clonecost.safe_text import one_line

SECONDS = 2.0  # of this process's CPU time
BYTES = 200_000_000
SENTENCE = 1_500  # characters
FEW = 15
MANY = int(os.environ.get("CLONECOST_FUZZ", "0"))

_SETTINGS = settings(
    max_examples=MANY or FEW,
    derandomize=not MANY,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def fuzz(test: Callable[..., None]) -> Callable[..., None]:
    """A test of one target, with as many examples as this run makes."""
    large = pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
    return large(_SETTINGS(test))  # the warning is of a large example, when it has failed


Json = Any
_WORDS = st.sampled_from(["", "a", "1", "-1", "nan", "null", "true", "\0", "\x1b[2J",
                          "é", "\ud800", "x" * 5_000, "../../etc/passwd", "env:HOME"])  # fmt: skip
_NUMBERS = st.sampled_from([0, 1, -1, 2**31, 2**63, -(2**63), 2**64, 10**30, 10**400, 0.5, -0.0,
                            1e308, 1e-320, float("inf"), float("-inf"), float("nan")])  # fmt: skip
SCALARS = st.none() | st.booleans() | _NUMBERS | _WORDS | st.integers() | st.floats() | st.text()
VALUES: st.SearchStrategy[Json] = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(_WORDS | st.text(), inner, max_size=4)
    ),
    max_leaves=8,
) | st.sampled_from([[], {}, [[]], [{}], [[[[[[]]]]]]])
DEEP = ("[" * 100_000, '{"a":' * 100_000, "[" * 900 + "]" * 900)


def holds_its_promise(
    read: Callable[[], object], *, refusals: tuple[type[Exception], ...] = (CloneCostError,)
) -> object:
    """Assert that `read` gives a value, or refuses with one sentence, within time and memory.

    Args:
        refusals: the errors that are refusals; any other one is a fault.

    Returns:
        The value, or the refusal.
    """
    with _within_limits():
        try:
            return read()
        except refusals as refusal:
            found = refusal
    sentence = one_line(str(found))  # as the terminal shows it
    assert sentence.strip(), repr(found)
    assert len(sentence) < SENTENCE, f"{len(sentence):,} characters: {sentence[:300]}"
    return found


@contextmanager
def _within_limits() -> Iterator[None]:
    before, start = peak_of_process(forget=True), time.process_time()
    yield
    seconds, grown = time.process_time() - start, peak_of_process() - before
    assert seconds < SECONDS, f"{seconds:.1f} s"
    assert grown < BYTES, f"{grown:,} bytes"


def broken(*valid: bytes) -> st.SearchStrategy[bytes]:
    """Any bytes, and valid files with some bytes altered, cut, inserted, doubled or exchanged."""
    return st.binary(max_size=200) | st.sampled_from(valid).flatmap(_altered)


def _altered(whole: bytes) -> st.SearchStrategy[bytes]:
    # headers are where the sizes are, and often at the end as well
    near = st.integers(0, min(200, len(whole)))
    place = st.integers(0, len(whole)) | near | near.map(lambda at: len(whole) - at)
    piece = st.binary(min_size=1, max_size=8) | st.sampled_from(
        [b"\0" * 4, b"\xff" * 4, b"\xff" * 8, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\n", b"["]
    )
    change = st.tuples(st.sampled_from(["put", "insert", "cut", "end", "double"]), place, piece)
    return st.lists(change, min_size=1, max_size=4).map(lambda changes: _apply(whole, changes))


def _apply(content: bytes, changes: list[tuple[str, int, bytes]]) -> bytes:
    for kind, at, piece in changes:
        size = len(piece)
        match kind:
            case "put":
                content = content[:at] + piece + content[at + size :]
            case "insert":
                content = content[:at] + piece + content[at:]
            case "cut":
                content = content[:at] + content[at + size :]
            case "double":
                content = content[:at] + content[max(0, at - 20 * size) :]
            case _:
                content = content[:at]
    return content


def altered_json(document: Json) -> st.SearchStrategy[Json]:
    """The document with one to three of its values replaced, removed, or keys added."""
    places = list(_places(document))
    change = st.tuples(st.sampled_from(places), VALUES, st.sampled_from(["put", "drop", "add"]))
    return st.lists(change, min_size=1, max_size=3).map(
        lambda changes: _with_changes(document, changes)
    )


def json_bytes(document: Json) -> st.SearchStrategy[bytes]:
    """The document as bytes: altered by value, by byte, or nothing but brackets."""
    by_value = altered_json(document).map(as_json)
    return by_value | broken(as_json(document)) | st.sampled_from([d.encode() for d in DEEP])


def as_json(document: Json) -> bytes:
    return json.dumps(document).encode()


Place = tuple[str | int, ...]


def _places(value: Json, at: Place = ()) -> Iterator[Place]:
    yield at
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _places(inner, (*at, key))


def _with_changes(document: Json, changes: list[tuple[Place, Json, str]]) -> Json:
    document = json.loads(json.dumps(document))
    for place, drawn, kind in changes:
        value = deepcopy(drawn)  # a drawn list may be drawn again, and put into itself
        if not place:
            document = value
            continue
        *way, last = place
        with suppress(KeyError, IndexError, TypeError):  # an earlier change took the place away
            holder = document
            for key in way:
                holder = holder[key]
            if kind == "drop":
                del holder[last]
            elif kind == "add" and isinstance(holder, dict):
                holder[str(last) + "x"] = value
            else:
                holder[last] = value
    return document
