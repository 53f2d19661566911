"""Specs that cannot be read: one sentence that names the place."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.cli_runs import run

from clonecost.config import Spec, make_spec
from clonecost.errors import SpecError
from clonecost.victims.endpoints import EndpointSettings

BAD_FILES: dict[str, tuple[str | bytes, str]] = {
    "typo": ('victim = "digits-lenet"\nbudgt = 5', "unknown key 'budgt'; did you mean 'budget'"),
    "no victim": ("budget = 5", "the key 'victim' is missing"),
    "text for a number": (
        'victim = "digits-lenet"\nbudget = "many"',
        "got 'many', want a whole number",
    ),
    "half a row": (
        'victim = "digits-lenet"\nbudget = 1.5',
        "got 1.5, want a whole number",
    ),
    "number for text": (
        'victim = "digits-lenet"\nproxy = 5',
        "proxy does not take this value: got 5, want text",
    ),
    "table for a list": (
        'victim = "digits-lenet"\n[attack]\nname = "dfme"',
        "got {'name': 'dfme'}, want text",
    ),
    "setting": ('victim = "digits-lenet"\nset.knockoff.epoch = 5', "did you mean 'epochs'"),
    "setting's type": (
        'victim = "digits-lenet"\nset.knockoff.epochs = "x"',
        "knockoff.epochs does not take this value: got 'x', want a whole number",
    ),
    "settings": (
        'victim = "digits-lenet"\nset = 5',
        "got 5, want a table",
    ),
    "no TOML": ("victim == 5", "cannot be read as TOML"),
    "empty list": (
        'victim = "digits-lenet"\nattack = []',
        "got [], want at least 1 value",
    ),
    "bytes": (b"\xff\xfe\x00", "cannot be read as TOML"),
}


@pytest.mark.parametrize("what", BAD_FILES)
def test_a_bad_file_is_one_sentence(what: str, tmp_path: Path) -> None:
    content, sentence = BAD_FILES[what]
    path = tmp_path / "spec.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    said = run("audit", path)
    assert said.status == 2
    assert sentence in said.err
    assert str(path) in said.err or "knockoff" in said.err
    assert "unexpected" not in said.err
    assert len(said.err.strip().splitlines()) == 1


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "There is no file" in run("audit", tmp_path / "absent.toml").err
    (tmp_path / "folder.toml").mkdir()
    assert "folder.toml is a folder" in run("audit", tmp_path / "folder.toml").err


def test_a_typo_in_a_table_suggests_a_key_of_that_table() -> None:
    for written, said in (
        ({"endpoint": {"url": "http://127.0.0.1/v2/models/a", "rwo": 1}}, "'endpoint.row'"),
        ({"features": [{"name": "a", "low": 0.0, "hihg": 1.0}]}, "'features.0.high'"),
        ({"budgte": 1}, "'budget'"),
    ):
        with pytest.raises(SpecError) as caught:
            make_spec({"victim": "shop", **written})
        assert f"did you mean {said}?" in str(caught.value)


@settings(max_examples=100)
@given(data=st.data())
def test_any_key_with_a_letter_too_many_is_suggested_at_its_own_level(data: st.DataObject) -> None:
    models: dict[tuple[str, ...], Any] = {(): Spec, ("endpoint",): EndpointSettings}
    path = data.draw(st.sampled_from(sorted(models)))
    key = data.draw(st.sampled_from(sorted(models[path].model_fields)))
    wrong = f"{key}x"
    written: dict[str, Any] = {wrong: 1}
    for table in reversed(path):
        written = {table: written}
    with pytest.raises(SpecError) as caught:
        make_spec({"victim": "digits-lenet", **written})
    assert f"did you mean {'.'.join([*path, key])!r}?" in str(caught.value)


def test_a_text_in_the_place_of_a_table_is_named_without_a_class_of_ours() -> None:
    with pytest.raises(SpecError, match="want a table") as caught:
        make_spec({"victim": "shop", "endpoint": "x"})
    assert "EndpointSettings" not in str(caught.value)
