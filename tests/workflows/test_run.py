"""A run goes on: resumed, with a larger budget, after a full disk; and what is refused."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.cli_runs import KNOCKOFF, MINE, asked, environment, run
from tests.support.run_folders import AUDIT, contents, queries
from tests.support.workbench import TEST_ROWS

from clonecost.errors import RunError
from clonecost.result import read_result
from clonecost.workflows.run import spec_of


def test_a_finished_run_is_not_run_again(out: Path, log: Path) -> None:
    before = (out / "result.json").read_bytes()
    said = run("resume", out)
    assert said.status == 0
    assert "finished already" in said.err
    assert "A clone that cost 100 queries" in said.out
    assert (out / "result.json").read_bytes() == before
    assert asked(log) == []


def test_a_run_folder_is_no_victim(out: Path) -> None:
    said = run("audit", out)
    assert said.status == 2
    assert f"`clonecost resume {out}` goes on" in said.err


def test_a_finished_run_does_not_need_its_victim(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # neither victim nor data are here
    assert run("resume", out).status == 0


def test_a_larger_budget_pays_the_difference_and_keeps_the_curve(out: Path, log: Path) -> None:
    before = read_result(out)
    said = run("resume", out, "--budget", "160")
    assert said.status == 0, said.err
    assert len(asked(log)) == 60
    after = read_result(out)
    assert (after.spent, after.threat.query_budget) == (160, 160)
    assert queries(out) == [40, 100, 160]
    assert after.curve[:2] == before.curve
    assert "budget = 160" in (out / "spec.toml").read_text()
    assert run("verify", out).status == 0


def test_default_milestones_of_a_smaller_budget_stay_on_the_curve(
    out: Path, tmp_path: Path
) -> None:
    audit = ["audit", *MINE, *KNOCKOFF, "--set", "knockoff.epochs=1", "--out", tmp_path / "two"]
    assert run(*audit, "--budget", "50").status == 0
    assert queries(tmp_path / "two") == [1, 2, 5, 10, 25, 50]
    assert run(*audit, "--budget", "100").status == 0
    assert set(queries(tmp_path / "two")) == {1, 2, 5, 10, 20, 25, 50, 100}


def test_a_smaller_budget_is_refused_and_destroys_nothing(out: Path, log: Path) -> None:
    before = contents(out)
    for words in (["resume", out, "--budget", "50"], [*AUDIT, "--out", out, "--budget", "50"]):
        said = run(*words)
        assert said.status == 2
        assert "can only grow" in said.err
    assert contents(out) == before


def test_another_audit_does_not_mix_in(out: Path, log: Path) -> None:
    before = contents(out)
    for change in (["--seed", "1"], ["--defence", "rounding"], ["--answers", "label"],
                   ["--student", "half-lenet"], ["--attack", "knockoff"],
                   ["--set", "knockoff.epochs=3"], ["--attack", "knockoff", "--attack", "dfme",
                    "--set", "dfme.batch_size=8"]):  # fmt: skip
        said = run(*AUDIT, "--budget", "100", "--out", out, *change)
        assert said.status == 2, change
        assert f"{out} holds another audit, whose " in said.err
        assert f"`clonecost resume {out}`" in said.err
    assert contents(out) == before
    assert asked(log) == []


def test_data_that_changed_under_the_same_name_are_another_audit(
    out: Path, log: Path, bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("own.py", "lenet.safetensors", "test.npz"):
        shutil.copy(bench / name, tmp_path)
    shutil.copy(bench / "test.npz", tmp_path / "proxy.npz")
    monkeypatch.chdir(tmp_path)
    said = run("resume", out, "--budget", "160")
    assert said.status == 2
    assert "holds the record of another audit" in said.err
    assert (out / "result.json").is_file()
    assert asked(log) == []


def test_a_run_made_in_python_says_how_it_goes_on(out: Path) -> None:
    (out / "spec.toml").unlink()
    said = run("resume", out)
    assert said.status == 2
    assert "all `run_audit` again" in said.err


def test_controls_can_be_asked_for_later(out: Path, log: Path) -> None:
    said = run(*AUDIT, "--budget", "100", "--out", out, "--controls")
    assert said.status == 0, said.err
    assert len(read_result(out).controls) == 2
    assert asked(log) == []


def test_a_fresh_clone_of_the_bought_rows_can_be_asked_for_later(out: Path, log: Path) -> None:
    assert read_result(out).retrained is None
    words = [*AUDIT, "--budget", "100", "--out", out, "--retrain", "--retrain-epochs", "2"]
    said = run(*words)
    assert said.status == 0, said.err
    again = read_result(out).retrained
    assert again is not None
    assert again.queries == 100
    assert again.learnt
    assert asked(log) == []


def test_a_run_that_kept_no_inputs_says_why_it_trains_no_fresh_clone(
    out: Path, tmp_path: Path
) -> None:
    words = [*AUDIT, "--budget", "40", "--keep", "none", "--retrain", "--out", tmp_path / "bare"]
    said = run(*words)
    assert said.status == 0, said.err
    assert "No fresh clone was trained" in said.err + said.out
    assert read_result(tmp_path / "bare").retrained is None


def test_a_full_disk_is_named_and_the_run_goes_on(
    out: Path, tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clone cannot be written."""
    folder = tmp_path / "full"
    replace = Path.replace

    def full(path: Path, target: Path) -> Path:
        if target.name.startswith("clone."):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", full)
    said = run(*AUDIT, "--budget", "60", "--out", folder)
    assert said.status == 2
    assert "No space left on device" in said.err
    assert f"`clonecost resume {folder}` goes on" in said.err
    assert not (folder / "result.json").exists()
    monkeypatch.setattr(Path, "replace", replace)
    assert run("resume", folder).status == 0
    assert len(asked(log)) == TEST_ROWS + 60


# A limit on the size of any file is the nearest to a disk that fills up while an audit runs.
LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
from clonecost.cli import main
main()
"""


def test_a_ledger_that_cannot_grow_keeps_what_was_answered(
    out: Path, bench: Path, tmp_path: Path, log: Path
) -> None:
    folder = tmp_path / "full"
    words = [*map(str, AUDIT), "--set", "knockoff.batch_size=32", "--budget", "100", "--out",
             str(folder)]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *words], cwd=bench, capture_output=True, text=True,
        env=environment(bench, OWN_LOG=str(log)),
    )  # fmt: skip
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert "cannot grow: the disk is full" in last
    assert f"`clonecost resume {folder}`" in last
    assert "Traceback" not in done.stderr
    before = len(asked(log))
    assert run("resume", folder).status == 0
    assert before < len(asked(log)) <= TEST_ROWS + 100 + 32  # only the batch in flight is repeated
    assert run("verify", folder).status == 0


def test_spec_of_what_is_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a run folder"):
        spec_of(tmp_path)
