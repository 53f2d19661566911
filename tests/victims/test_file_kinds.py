"""Every file that is no victim is refused with what its owner does next."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.cli_runs import run

from clonecost.config.consent import consents_needed
from clonecost.config.schema import Spec
from clonecost.errors import Advice, VictimError
from clonecost.victims import load_victim
from clonecost.victims.file_kinds import (
    KINDS,
    MODELS,
    READ,
    FileKind,
    must_be_readable,
    names_in,
    refreshed,
)

PAGE = Path(__file__).parents[2] / "docs" / "files.md"
COMMANDS = ("tf2onnx", "export", "load", "serve", "save", "audit", "unpack", "give", "paddle2onnx",
            "convert")  # fmt: skip
endings = [(kind, one) for kind in KINDS for one in kind.suffixes]


def refused(where: Path) -> VictimError:
    with pytest.raises(VictimError) as caught:
        must_be_readable(str(where))
    return caught.value


@pytest.mark.parametrize(("kind", "ending"), endings, ids=[one for _, one in endings])
def test_every_kind_says_what_it_is_and_what_to_do(
    kind: FileKind, ending: str, tmp_path: Path
) -> None:
    if ending.startswith("."):
        path = tmp_path / f"model{ending}"
        path.write_bytes(b"x")
    else:
        path = tmp_path / "folder"
        path.mkdir()
        (path / ending).write_bytes(b"x")
    error = refused(path)
    assert kind.what in error.what
    assert error.remedies
    for remedy in error.remedies:
        assert isinstance(remedy, Advice)
        assert any(word in remedy.sentence for word in COMMANDS)
        assert "{path}" not in str(error)
    if any("{path}" in one for one in kind.todo):
        assert str(path) in " ".join(str(remedy) for remedy in error.remedies)


def test_no_ending_has_two_kinds_or_is_read() -> None:
    names = [one for _, one in endings]
    assert len(names) == len(set(names))
    assert not set(names) & set(READ)
    assert all(one == one.lower() for one in names)


def test_the_page_has_the_list() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert refreshed(page) == page, "python -m clonecost.victims.file_kinds docs/files.md"


@given(st.text("abcxyz0189_", min_size=1, max_size=6))
def test_any_other_file_lists_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, word: str
) -> None:
    ending = f".q{word}"
    path = tmp_path_factory.mktemp("any") / f"model{ending}"
    assert "There is no file" in refused(path).what
    path.write_bytes(b"x")
    error = refused(path)
    assert error.got == ending
    assert all(one in str(error.want) for one in READ)
    assert "ONNX" in str(error)


def test_a_folder_names_a_model_in_it_or_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("")
    assert "it holds notes.md" in refused(tmp_path).what
    (tmp_path / "net.onnx").write_bytes(b"x")
    assert "give a file in it: net.onnx" in str(refused(tmp_path)).lower()


def test_a_python_file_lists_its_names_and_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "import os\nSIZE = 3\nraise SystemExit\nnet = make(1)\n"
        "def model(x): ...\ndef load(path='a'): ...\ndef _hidden(x): ...\nclass Net: ...\n"
    )
    assert names_in(path) == ["net", "model", "load()", "Net()"]
    assert f"give {path}:net or {path}:model" in str(refused(path)).lower()
    path.write_text("def (")
    assert "define a model" in str(refused(path)).lower()
    assert "There is no file" in refused(tmp_path / "none.py").what


@pytest.mark.parametrize("where", ["package.module:name", "mine.py:net", "digits-lenet"])
def test_other_names_pass(where: str) -> None:
    must_be_readable(where)


def test_both_interfaces_refuse(tmp_path: Path) -> None:
    path = tmp_path / "model.KERAS"
    path.write_bytes(b"x")
    with pytest.raises(VictimError, match="is a Keras model"):
        load_victim(str(path))
    said = run("plan", path, "--test", "digits")
    assert said.status == 2
    assert f'Call keras.saving.load_model("{path}")' in said.err.replace("\n", "")


def test_a_folder_is_answered_with_models_only(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "config.json", "model-00001-of-00002.safetensors"):
        (tmp_path / name).write_bytes(b"x")
    assert "is a Hugging Face folder" in refused(tmp_path).what
    (tmp_path / "model.ONNX").write_bytes(b"x")  # as optimum-cli leaves it beside config.json
    assert str(refused(tmp_path)).endswith("ive a file in it: model.ONNX.")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "pyproject.toml").write_bytes(b"x")
    assert "it holds pyproject.toml" in refused(tmp_path / "project").what


def test_names_with_a_type_and_arguments_by_name_are_found(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "network: nn.Module = make()\nsize: int = 3\nlater: nn.Module\n"
        "def needs(*, k): ...\ndef free(*, k=1): ...\n"
    )
    assert names_in(path) == ["network", "needs", "free()"]


@pytest.mark.parametrize("ending", MODELS)
def test_an_ending_in_capitals_is_the_same_ending(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"model{ending.upper()}"
    path.write_bytes(b"x")
    must_be_readable(str(path))
    spec = Spec(victim=str(path), trust=True, allow=["own.Type"])
    consents = {one.kind for one in consents_needed(spec)}
    assert consents == ({".pt2": {"program"}, ".skops": {"type"}}.get(ending) or set())
