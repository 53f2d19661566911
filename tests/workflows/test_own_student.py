"""A student of the user's own: attacked with, resumed, replayed, and never run without consent."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import save_file
from tests.support.cli_runs import QUICK, Said, agree, run
from tests.support.run_folders import made_here

from clonecost.errors import RunError
from clonecost.workflows.transfer import load_clone

CODE = """
from pathlib import Path
from torch import nn
Path(__file__).with_name("ran").touch()
def net(input_shape, num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(256, 8), nn.ReLU(), nn.Linear(8, num_classes))
"""
WORDS = ["audit", "own:probs", "--test", "test.npz", "--proxy", "proxy.npz", "--spot-check", "0",
         *QUICK, "--budget", "60"]  # fmt: skip


@pytest.fixture(scope="module")
def finished(bench: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose student is a function in a file beside its folder."""
    home = tmp_path_factory.mktemp("own student")
    (home / "net.py").write_text(CODE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(bench)
        said = run(*WORDS, "--student", f"{home / 'net.py'}:net", "--out", home / "run")
    assert said.status == 0, said.err
    return home


@pytest.fixture
def home(
    finished: Path, bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:  # fmt: skip
    """A copy, whose spec names its own copy of the code; nobody has agreed to it yet."""
    here = Path(shutil.copytree(finished, tmp_path / "mine"))
    spec = here / "run" / "spec.toml"
    spec.write_text(spec.read_text().replace(str(finished), str(here)))
    (here / "ran").unlink()
    monkeypatch.chdir(bench)
    return here


def resume(home: Path, *words: str) -> Said:
    return run("resume", home / "run", "--budget", "80", *words)


def test_a_strangers_run_folder_runs_no_code_of_a_student(home: Path) -> None:
    asked = resume(home, *agree("code:own:probs"))
    assert asked.status == 2
    assert f"run the Python code of {home / 'net.py'}:net" in asked.err
    assert f"code:{home / 'net.py'}:net" in asked.err
    assert not (home / "ran").exists()


def test_code_that_is_gone_is_one_sentence_and_every_answer_is_kept(home: Path) -> None:
    made_here(home / "run")
    (home / "net.py").unlink()
    before = (home / "run" / "ledger.sqlite").read_bytes()
    said = resume(home)
    assert said.status == 2
    assert "net.py" in said.err
    assert "Traceback" not in said.err
    assert (home / "run" / "ledger.sqlite").read_bytes() == before


def test_a_replay_trains_a_student_of_the_users_own(home: Path) -> None:
    name = f"{home / 'net.py'}:net"
    said = run("replay", home / "run", "--student", name, "--epochs", "1", "--json")
    assert said.status == 0, said.err
    found = json.loads(said.out)
    assert (found["student"], found["rows"]) == (name, 60)
    (weights,) = (home / "run" / "replays").glob("*.safetensors")
    assert "/" not in weights.stem


def test_the_clone_is_built_by_the_student_that_was_agreed_to(home: Path, finished: Path) -> None:
    own, stranger = f"{finished / 'net.py'}:net", f"{home / 'net.py'}:net"
    clone = load_clone(home / "run", own)
    path = home / "run" / "clone.safetensors"
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()["clonecost"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    assert about["network"] == own
    assert set(tensors) == set(clone.state_dict())
    save_file(tensors, path, {"clonecost": json.dumps(about | {"network": stranger})})
    with pytest.raises(RunError, match=r"cannot be built: its network is .*net\.py"):
        load_clone(home / "run", own)
    assert not (home / "ran").exists()


def test_a_student_that_has_changed_does_not_take_the_run_up(home: Path) -> None:
    made_here(home / "run")
    # of another size: Python runs the old bytecode of a file that was changed within a second
    (home / "net.py").write_text(CODE.replace("8", "16"))
    said = resume(home)
    assert said.status == 2
    assert "student's digest" in said.err
