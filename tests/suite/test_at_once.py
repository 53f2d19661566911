"""Several jobs at once: the table is that of one after the other, also when a process is killed."""

import os
import sys
from functools import partial
from pathlib import Path

import pytest
from tests.support.cli_runs import agree, asked, run
from tests.support.toy_suite import edited
from tests.support.workbench import TEST_ROWS

from clonecost.audit.spot_check import ROWS

ONCE = """
import os, signal
import os
import sys
from functools import partial
from pathlib import Path
import own

def probs(inputs):
    mark = Path(__file__).with_name("killed")
    log = Path(os.environ["OWN_LOG"])
    if log.exists() and len(log.read_text().splitlines()) > 200 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return own.probs(inputs)
"""


def clones(out: Path) -> dict[str, bytes]:
    """The file of each clone, by its run."""
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("clone.*")}


def test_a_killed_process_changes_nothing(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "once.py").write_text(ONCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    edited(toy, '"own:probs"', '"once:probs"')
    words = ["suite", toy, *agree("code:once:probs"), "--row", "ours", "--seed", "0", "--seed", "1"]
    said = run(*words, "--out", tmp_path / "two", "--workers", "2")
    assert said.status == 0, said.err
    assert "ended (2 of 2)" in said.err
    assert (tmp_path / "killed").exists()
    rows = len(asked(tmp_path / "asked"))
    assert run(*words, "--out", tmp_path / "one").status == 0
    assert len(clones(tmp_path / "one")) == 2
    assert clones(tmp_path / "one") == clones(tmp_path / "two")
    undisturbed = len(asked(tmp_path / "asked")) - rows
    # a batch in flight is asked again, and both runs may check their victim as they resume
    assert rows <= undisturbed + TEST_ROWS + 2 * ROWS


@pytest.mark.parametrize("workers", ["0", "-1", "two", ""])
def test_unknown_workers_are_refused(workers: str, toy: Path) -> None:
    said = run("suite", toy, *agree("code:own:probs"), "--out", toy.parent, "--workers", workers)
    assert said.status == 2
    assert "a number from 1 on, ray" in said.err


@pytest.mark.parametrize(("name", "workers"), [("ray", "ray"), ("submitit", "slurm")])
def test_workers_that_are_not_installed_name_the_extra(
    name: str, workers: str, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    said = run("suite", toy, *agree("code:own:probs"), "--out", toy.parent, "--workers", workers)
    assert said.status == 2
    assert f"pip install 'clonecost[{workers}]'" in said.err


@pytest.mark.parametrize("pool", ["ray", "slurm"])
def test_other_pools_give_the_same_clones(
    pool: str, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip({"ray": "ray", "slurm": "submitit"}[pool])
    from clonecost.workers import slurm_pool

    monkeypatch.setattr(slurm_pool, "on_slurm", partial(slurm_pool.on_slurm, cluster="local"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    words = ["suite", toy, *agree("code:own:probs"), "--row", "ours", "--seed", "0", "--seed", "1"]
    said = run(*words, "--out", tmp_path / "two", "--workers", pool)
    assert said.status == 0, said.err
    assert run(*words, "--out", tmp_path / "one").status == 0
    assert len(clones(tmp_path / "one")) == 2
    assert clones(tmp_path / "one") == clones(tmp_path / "two")
