"""The suites that come with clonecost, and their results."""

from pathlib import Path
from statistics import fmean

import pytest
from tests.support.cli_runs import run

from clonecost.suite import (
    cells,
    find,
    gather,
    read_results,
    read_suite,
    shipped,
)
from clonecost.victims.zoo.catalogue import VICTIMS


@pytest.mark.parametrize("name", shipped())
def test_shipped_suites_are_whole(name: str, tmp_path: Path) -> None:
    suite = read_suite(find(name))
    for scale in suite.scale:
        found = gather(name, suite, scale, tmp_path)
        assert {(cell.row, cell.column) for cell in found.cells} == {
            (cell.row.name, cell.column.name) for cell in cells(suite, scale)
        }
        assert not any(cell.runs for cell in found.cells)  # nothing was run in this folder


def test_the_lists_name_the_shipped_suites() -> None:
    said = run("list", "suites")
    assert "fmnist" in said.out


# Columns that were measured before their victim's weights came with clonecost.
EARLIER = {
    ("data_free", "fmnist"), ("dfme_ablations", "digits"), ("fmnist", "lenet"),
    ("pools", "probs"), ("pools", "label"),
}  # fmt: skip
RESULTS = sorted((Path(__file__).parents[2] / "suites" / "results").glob("*.json"))


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_committed_results_are_what_they_say(path: Path) -> None:
    table = read_results(path)
    assert path.stem == f"{table.name}-{table.scale}"
    text = path.read_text(encoding="utf-8")
    assert '"/' not in text  # no path of the machine that it was made on
    suite = read_suite(find(table.name))
    assert [row.name for row in table.rows] == [row.name for row in suite.row]
    for column in table.columns:
        kept = VICTIMS[column.victim].kept if column.victim in VICTIMS else None
        if kept and (table.name, column.name) not in EARLIER:
            attacked = {r.victim_weights for c in table.cells if c.column == column.name
                        for r in c.runs}  # fmt: skip
            assert attacked == {kept.sha256}
    for cell in table.cells:
        if cell.accuracy and cell.agreement and cell.queries:
            found = [run.accuracy.value for run in cell.runs if run.accuracy]
            assert cell.accuracy.values == found
            assert cell.agreement.values == [run.agreement.value for run in cell.runs]
            assert cell.queries.values == [run.spent for run in cell.runs]
            assert cell.accuracy.mean == pytest.approx(fmean(cell.accuracy.values))
            assert cell.agreement.mean == pytest.approx(fmean(cell.agreement.values))
            assert all(run.ledger_rows >= run.spent for run in cell.runs)
