"""Runs of one spec, or of one grid, in other processes: the same as one after the other."""

from pathlib import Path

import pytest
from tests.support.pools import backwards, losing

from clonecost.audit import Watcher
from clonecost.config import EVERYTHING, Spec
from clonecost.errors import RunError
from clonecost.result import read_result
from clonecost.workers import Task, at_once
from clonecost.workflows.apart import run_spec_apart
from clonecost.workflows.defend import prepare, run_grid
from clonecost.workflows.run import run_spec


@pytest.fixture
def spec(bench: Path, monkeypatch: pytest.MonkeyPatch) -> Spec:
    monkeypatch.chdir(bench)
    monkeypatch.syspath_prepend(str(bench))
    return Spec(
        victim="own:probs", test="test.npz", proxy="proxy.npz", attack=["knockoff"], seed=[0, 1],
        budget=40, milestones=[], device="cpu", set={"knockoff": {"epochs": 1}},
    )  # fmt: skip


def clones(out: Path) -> dict[str, bytes]:
    """The file of each clone, by its run."""
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("clone.*")}


def test_seeds_at_once_are_those_of_one_after_the_other(spec: Spec, tmp_path: Path) -> None:
    here, apart, said = tmp_path / "here", tmp_path / "apart", list[str]()
    found = list(run_spec(spec, here, watch=lambda _: Watcher(), consent=EVERYTHING))
    again = run_spec_apart(spec, apart, backwards, consent=EVERYTHING, notice=said.append)
    assert len(clones(here)) == 2
    assert clones(here) == clones(apart)
    assert [one.relative_to(here) for one, _ in found] == [
        one.relative_to(apart) for one, _ in again
    ]
    assert [one.curve for _, one in found] == [one.curve for _, one in again]
    assert said[-2:] == ["knockoff, seed 1 ended (1 of 2)", "knockoff, seed 0 ended (2 of 2)"]
    assert (apart / "spec.toml").read_text() == (here / "spec.toml").read_text()
    assert run_spec_apart(spec, apart, losing, consent=EVERYTHING) == again  # nothing is left


def test_a_run_that_fails_stops_no_other(spec: Spec, tmp_path: Path) -> None:
    broken = spec.model_copy(update={"seed": [0, 1]})
    (tmp_path / "knockoff-seed0").mkdir()
    (tmp_path / "knockoff-seed0" / "ledger.sqlite").mkdir()
    with pytest.raises(RunError):
        run_spec_apart(broken, tmp_path, backwards, consent=EVERYTHING)


def test_a_grid_at_once_pays_its_evaluation_once_and_has_the_same_cells(
    spec: Spec, tmp_path: Path
) -> None:
    single = spec.model_copy(update={"seed": [0]})
    documents = {}
    for name, pool in {"here": None, "apart": backwards}.items():
        grid = prepare(single, ["rounding:decimals=1"], tmp_path / name, consent=EVERYTHING)
        *_, documents[name] = run_grid(
            grid, watch=lambda _: Watcher(), consent=EVERYTHING, pool=pool
        )
    first, second = (documents[name].rows for name in ("here", "apart"))
    assert [row.attackers for row in first] == [row.attackers for row in second]
    assert len(clones(tmp_path / "here")) == len(grid.cells) > 3
    assert clones(tmp_path / "here") == clones(tmp_path / "apart")
    paid = [read_result(grid.out / cell.folder).evaluation for cell in grid.cells]
    assert sorted(paid)[-2:] == [0, 200]


def test_a_task_that_is_lost_again_and_again_is_named(tmp_path: Path) -> None:
    task = Task(title="seed 0", folder=tmp_path, call=lambda: None)
    ((place, error),) = at_once([task], losing)
    assert place == 0
    assert "The process of seed 0 was lost 3 times" in str(error)
