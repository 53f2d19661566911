"""`defences.json` from finished runs, made here without the command."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.refusing_victim import refused, refusing
from tests.support.toys import MakeAudit

from clonecost.attacks.knockoff import Knockoff
from clonecost.audit import run_audit
from clonecost.config import make_spec
from clonecost.defences.noise import Noise
from clonecost.result.defence_grid import DefenceGrid
from clonecost.types import Defence, LabelledInputs, ThreatModel, Victim
from clonecost.workflows.grid_cells import AttackerCells, Cell, Row
from clonecost.workflows.grid_document import document
from clonecost.workflows.pairings import AS_SERVED

DEFENCES: dict[str, tuple[Defence, ...]] = {
    "none": (), "label": (), "fresh": (Noise(scale=0.5),),
    "tied": (Noise(scale=0.5, consistent=True),),
}  # fmt: skip


@pytest.fixture
def test(test_set: LabelledInputs) -> LabelledInputs:
    return test_set.take(slice(0, 40))


@pytest.fixture
def grid(
    make_audit: MakeAudit, victim: Victim, threat: ThreatModel, test: LabelledInputs, tmp_path: Path
) -> DefenceGrid:
    """Of a victim that refuses a row in eight."""
    spec = make_spec({"victim": "digits-lenet", "attack": "knockoff", "budget": 70})
    rows = []
    for name, defences in DEFENCES.items():
        few = replace(threat, query_budget=70, answers="label" if name == "label" else "probs")
        run_audit(make_audit(
            Knockoff(recipe="shared", epochs=1), victim=refusing(victim), defences=defences,
            threat=few, test=test, milestones=(), out=tmp_path / name,
        ))  # fmt: skip
        rows.append(Row(name, defences, (AttackerCells(AS_SERVED, (Cell(spec, Path(name)),),
                                                       bound=False),)))  # fmt: skip
    return document(rows, tmp_path, test, threat, list(DEFENCES))


def test_the_price_is_that_of_answered_rows_and_noise_tied_to_the_row_draws_nothing(
    grid: DefenceGrid, test: LabelledInputs
) -> None:
    told = len(test) - int(refused(test.rows(slice(None))).sum())
    assert grid.test_rows == told < len(test)
    prices = {row.defence: row.utility for row in grid.rows}
    assert all(price is not None and price.rows == told for price in prices.values())
    none, fresh = prices["none"], prices["fresh"]
    assert none is not None
    assert fresh is not None
    assert (none.flips.value, none.l1_max) == (0, 0)
    assert fresh.l1_mean > 0.1
    assert none.auroc_outliers is not None  # the attacker's own rows, from a pool
    assert fresh.auroc_outliers is not None
    assert none.auroc_outliers.difference == 0
    assert fresh.auroc_outliers.before == none.auroc_outliers.before
    assert fresh.auroc_outliers.after != fresh.auroc_outliers.before
    assert [(row.random, row.resume_safe) for row in grid.rows] == [
        (False, True), (False, True), (True, False), (False, True)
    ]  # fmt: skip
