"""A run that was started on this machine resumes without asking; a copy of it does not."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.cli_runs import asked, run
from tests.support.run_folders import AUDIT, contents

from clonecost.config import Spec
from clonecost.persistence.disk import cache_root
from clonecost.workflows.agreements import Either, remember, remembered


@pytest.mark.usefixtures("at_bench")
def test_a_run_made_here_resumes_and_transfers_without_a_question(tmp_path: Path) -> None:
    out = tmp_path / "mine"
    assert run(*AUDIT, "--budget", "40", "--out", out).status == 0
    said = run("resume", out, "--budget", "60")  # another budget is no other spec
    assert said.status == 0, said.err
    said = run("transfer", out, "--rows", "8", "--method", "fgsm")
    assert said.status == 0, said.err


@pytest.mark.usefixtures("at_bench")
def test_a_copied_run_asks_and_runs_nothing(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OWN_LOG", str(tmp_path / "asked"))
    copy = Path(shutil.copytree(finished, tmp_path / "copy"))
    before = contents(copy)
    for words in (["resume", copy, "--budget", "160"], ["transfer", copy]):
        said = run(*words)
        assert said.status == 2
        assert said.err.count("\n") == 1
        assert f"{copy}/spec.toml would run the Python code of own:probs." in said.err
        assert said.err.rstrip().endswith("Use --consent code:own:probs.")
    assert asked(tmp_path / "asked") == []
    assert contents(copy) == before
    agreed = run("resume", copy, "--budget", "160", "--consent", "code:own:probs")
    assert agreed.status == 0, agreed.err
    assert len(asked(tmp_path / "asked")) == 60
    assert run("resume", copy, "--budget", "170").status == 0  # it is remembered for the folder


def test_a_changed_spec_in_a_run_made_here_asks_again(out: Path, log: Path) -> None:
    spec = out / "spec.toml"
    spec.write_text(spec.read_text().replace("own:probs", "own:logits"))
    said = run("resume", out, "--budget", "160")
    assert said.status == 2
    assert "--consent code:own:logits" in said.err
    assert asked(log) == []


def test_a_finished_copy_needs_no_consent(finished: Path, bench: Path, tmp_path: Path,
                                          monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    copy = Path(shutil.copytree(finished, tmp_path / "copy"))
    assert run("resume", copy).status == 0


@pytest.mark.usefixtures("at_bench")
def test_the_victim_typed_at_the_command_line_is_the_consent(tmp_path: Path) -> None:
    spec = tmp_path / "spec.toml"
    spec.write_text(
        'victim = "own:probs"\ntest = "test.npz"\nproxy = "proxy.npz"\nstudent = "lenet"\n'
        'attack = "knockoff:shared"\nbudget = 40\n[set.knockoff]\nepochs = 1\n'
    )  # fmt: skip
    refused = run("audit", spec, "--out", tmp_path / "run")
    assert refused.status == 2
    assert f"{spec} would run the Python code of own:probs" in refused.err
    assert not (tmp_path / "run").exists()
    agreed = run("audit", spec, "--out", tmp_path / "run", "--consent", "code:own:probs")
    assert agreed.status == 0, agreed.err


def test_the_store_is_private_and_outside_the_run_folder(tmp_path: Path) -> None:
    spec = Spec(victim="mod:net")
    remember(tmp_path, spec)
    assert remembered(tmp_path, spec) == {"code:mod:net"}
    assert remembered(tmp_path / "other", spec) == frozenset()
    assert remembered(tmp_path, Spec(victim="mod:net", seed=[1])) == frozenset()
    assert list(tmp_path.iterdir()) == []
    if os.name != "nt":
        assert stat.S_IMODE((cache_root() / "agreements").stat().st_mode) == 0o700


@pytest.mark.parametrize("text", ["", "{", "[]", '{"folder": 1}', '{"agreed": null}'])
def test_a_damaged_store_asks_again(tmp_path: Path, text: str) -> None:
    spec = Spec(victim="mod:net")
    remember(tmp_path, spec)
    for path in (cache_root() / "agreements").iterdir():
        if str(tmp_path) in path.read_text():
            path.write_text(text)
    assert remembered(tmp_path, spec) == frozenset()


def test_either_agreement_is_enough() -> None:
    assert "a" in Either(("a",), ())
    assert "a" in Either((), ("a",))
    assert "b" not in Either(("a",), ())


LOOKS_ONLY = """
import builtins, importlib, os, socket, sys
from pathlib import Path

def refuse(what):
    def stop(*args, **given):
        Path("REACHED").write_text(what)
        raise SystemExit(f"reached {what}")
    return stop

class NoPlants:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("own", "planted", "torch"):
            refuse(name)()

if sys.argv[1] != "replay":
    sys.meta_path.insert(0, NoPlants())
socket.socket.connect = refuse("a socket")
socket.create_connection = refuse("a socket")
read = os.environ.get
os.environ.get = lambda name, *rest: refuse(name)() if name == "SECRET" else read(name, *rest)
from clonecost.cli import main
main()
"""


@pytest.mark.parametrize("command", ["report", "verify", "replay"])
def test_reading_a_run_loads_no_victim_and_contacts_nobody(
    command: str, finished: Path, bench: Path, tmp_path: Path
) -> None:
    """With hooks on imports, sockets and the environment; `report` and `verify` need no torch."""
    copy = Path(shutil.copytree(finished, tmp_path / "copy"))
    for name in ("test.npz", "proxy.npz"):
        shutil.copy(bench / name, tmp_path)
    (tmp_path / "own.py").write_text("raise SystemExit('own.py was imported')")
    more = ["--student", "half-lenet", "--epochs", "1"] if command == "replay" else []
    done = subprocess.run(
        [sys.executable, "-c", LOOKS_ONLY, command, str(copy), *more], cwd=tmp_path, text=True,
        capture_output=True, env={**os.environ, "SECRET": "s", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "REACHED").exists()


@pytest.mark.parametrize(
    "words", [["resume", "stranger_run"], ["audit", "stranger_run/spec.toml"],
              ["serve", "stranger_run/spec.toml"], ["plan", "stranger_run/spec.toml"],
              ["transfer", "stranger_run"]], ids=lambda words: words[0],
)  # fmt: skip
def test_a_strangers_run_runs_nothing(
    words: list[str], cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(cases / "stranger_run", tmp_path / "stranger_run")
    shutil.copy(cases / "planted.py", tmp_path)
    monkeypatch.chdir(tmp_path)
    said = run(*words)
    assert "run the Python code of planted:victim" in said.err + said.out or words[0] == "transfer"
    assert said.status == (0 if words[0] == "plan" else 2)
    assert {path.name for path in tmp_path.iterdir()} == {"stranger_run", "planted.py"}
    assert [path.name for path in (tmp_path / "stranger_run").iterdir()] == ["spec.toml"]
