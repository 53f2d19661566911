"""Texts that describe audits: specs, suites, class names."""

import json
import tomllib
from pathlib import Path
from typing import Any

import tomlkit
from hypothesis import given
from hypothesis import strategies as st
from tests.support.fuzzing import altered_json, broken, fuzz, holds_its_promise, json_bytes

from clonecost.config import consents_needed, read_spec
from clonecost.data.class_names import read_class_names
from clonecost.suite.definition import read_suite

SPEC = """
victim = "http://127.0.0.1:8000/classify"
attack = ["knockoff", "dfme"]
proxy = "mine/proxy"
test = "mine/test.npz"
shape = [3, 32, 32]
classes = 10
budget = 2000
milestones = [100, 1000]
seed = [0, 1]
answers = "top_k:3"
defence = ["rounding:decimals=2"]
price = 1.5
rate = 20.0

[set.knockoff]
epochs = 3

[endpoint]
body = { instances = "$inputs" }
row = { b64 = "$input" }
answers = "predictions"
headers = { Authorization = "Bearer env:HOME" }
classes = ["a", "b"]

[authorisation]
owner = "we"
granted_by = "she"
date = 2026-01-01
scope = "all"
"""
DEEP = st.sampled_from([b"a = " + b"[" * 50_000, b"a" + b".a" * 20_000 + b" = 1",
                        b"a = {'a'" + b"  . \"b c\"" * 20_000 + b" = 1}",
                        b"a = " + b"9" * 9_000,
                        b"victim = 1979-05-27T07:32:00+99:99", b"victim = 0x" + b"f" * 9_000,
                        b"a = {" * 2_000, b"[[a]]\n" * 50_000, b"[a.b]\n[a]\nb = 1\n"])  # fmt: skip


def as_toml(document: Any) -> bytes:
    try:
        return tomlkit.dumps(document).encode(errors="surrogateescape")
    except Exception:  # TOML has no null and no list at its top
        return repr(document).encode(errors="replace")


def texts(whole: str) -> st.SearchStrategy[bytes]:
    document = {**tomllib.loads(whole)}
    return broken(whole.encode()) | altered_json(plain(document)).map(as_toml) | DEEP


def plain(value: Any) -> Any:
    """Dates as texts: JSON has none."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value if isinstance(value, int | float | str) else str(value)


@fuzz
@given(texts(SPEC))
def test_a_spec(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "spec.toml"
    path.write_bytes(content)
    holds_its_promise(lambda: consents_needed(read_spec(path)))


SUITE = Path(__file__).parents[2] / "suites" / "tramer.toml"


@fuzz
@given(texts(SUITE.read_text(encoding="utf-8")))
def test_a_suite(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "suite.toml"
    path.write_bytes(content)
    holds_its_promise(lambda: read_suite(path))


NAMES = ["cat", "dog", "owl"]
LISTS = (json.dumps(NAMES).encode(), "\n".join(NAMES).encode(), "\n".join(NAMES).encode("utf-16"))


@fuzz
@given(json_bytes(NAMES) | broken(*LISTS[1:]))
def test_class_names(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "names.txt"
    path.write_bytes(content)
    holds_its_promise(lambda: "\n".join(tuple(read_class_names(path))).encode())


def test_the_seeds_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "own"
    for text in (SPEC, as_toml(plain(tomllib.loads(SPEC))).decode()):
        path.with_suffix(".toml").write_text(text)
        assert consents_needed(read_spec(path.with_suffix(".toml")))
    read_suite(SUITE)
    for content in LISTS:
        path.write_bytes(content)
        assert read_class_names(path) == tuple(NAMES)
