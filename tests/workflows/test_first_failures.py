"""A first attempt that failed, or was stopped before it asked, leaves its folder to the next."""

import shutil
from pathlib import Path

import pytest
from tests.support.cli_runs import MINE, QUICK, run
from tests.support.run_folders import AUDIT, contents

from clonecost.result import read_result


@pytest.mark.usefixtures("at_bench")
def test_a_failed_first_attempt_does_not_claim_out(tmp_path: Path) -> None:
    out = tmp_path / "run"
    more = [*MINE[1:], *QUICK, "--budget", "60", "--out", out]
    assert run("audit", "own:falls", *more).status == 2
    said = run("audit", "own:probs", *more)
    assert said.status == 0, said.err
    assert read_result(out).victim.name == "own:probs"
    assert "rows that a failed attempt has lost" in said.err
    assert "own:falls" in (out / "failed-1" / "spec.toml").read_text()
    assert run("verify", out).status == 0
    assert run("report", out).status == 0


@pytest.mark.usefixtures("at_bench")
def test_several_runs_of_which_the_first_failed_do_not_claim_out(tmp_path: Path) -> None:
    out = tmp_path / "runs"
    more = [*MINE[1:], *QUICK, "--budget", "60", "--out", out, "--seed", "0", "--seed", "1"]
    assert run("audit", "own:falls", *more).status == 2
    said = run("audit", "own:probs", *more)
    assert said.status == 0, said.err


def test_the_same_command_goes_on_after_a_failed_first_attempt(
    bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same audit keeps its record, lost rows included: nothing is set aside."""
    shutil.copytree(bench, tmp_path / "bench")
    monkeypatch.chdir(tmp_path / "bench")
    words = ["audit", "own:falls", *MINE[1:], *QUICK, "--budget", "60", "--out", "run"]
    assert run(*words).status == 2  # the API goes away
    assert run(*words).status == 2
    assert not Path("run", "failed-1").exists()


@pytest.mark.usefixtures("at_bench")
def test_a_spec_that_somebody_put_there_is_not_moved_away(tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_text('victim = "digits-lenet"\n')
    before = contents(tmp_path)
    said = run(*AUDIT, "--budget", "60", "--out", tmp_path)
    assert said.status == 2
    assert "holds another audit, whose victim is 'digits-lenet'" in said.err
    assert contents(tmp_path) == before


@pytest.mark.usefixtures("at_bench")
def test_ctrl_c_while_data_are_read_promises_no_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def stop(*args: object, **given: object) -> object:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("clonecost.workflows.run.load_parts", stop)
        said = run(*AUDIT, "--budget", "60", "--out", tmp_path / "run")
    assert said.status == 130
    assert said.err == "stopped before anything was sent; the same command begins again\n"
    assert run(*AUDIT, "--budget", "60", "--out", tmp_path / "run").status == 0


@pytest.mark.usefixtures("at_bench")
def test_ctrl_c_after_the_first_row_says_how_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"

    def stop(*args: object, **given: object) -> object:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("clonecost.audit.run.follow", stop)
        said = run(*AUDIT, "--budget", "60", "--out", out)
    assert said.status == 130
    assert said.err.splitlines()[-1] == (
        f"stopped; every paid answer is kept: `clonecost resume {out}` goes on"
    )
    assert run("resume", out).status == 0
    assert (out / "result.json").is_file()


@pytest.mark.usefixtures("at_bench")
def test_a_resume_notices_other_names_of_classes(tmp_path: Path) -> None:
    """The file has the same path; the labels of the test rows follow the names in it."""
    names, out = tmp_path / "names.txt", tmp_path / "run"
    names.write_text("0\n1\n2\n3\n")
    more = [*MINE[1:], *QUICK, "--class-names", names, "--out", out]
    assert run("audit", "own:probs", *more, "--budget", "60").status == 0
    names.write_text("1\n0\n2\n3\n")
    said = run("audit", "own:probs", *more, "--budget", "80")
    assert said.status == 2
    assert "labels or names of classes than before" in said.err
    names.write_text("0\n1\n2\n3\n")
    assert run("audit", "own:probs", *more, "--budget", "80").status == 0
