"""The document of a grid of defences: what it says about a row, and what it refuses to read."""

from pathlib import Path

import pytest
from tests.support.defence_grids import defence_grid

from clonecost.errors import RunError
from clonecost.result.defence_grid import FILE, read_defence_grid


def test_it_reads_what_it_writes(tmp_path: Path) -> None:
    grid = defence_grid()
    (tmp_path / FILE).write_text(grid.model_dump_json(indent=2), encoding="utf-8")
    assert read_defence_grid(tmp_path) == grid
    assert '"schema": "clonecost/defences/1"' in (tmp_path / FILE).read_text(encoding="utf-8")


def test_no_document_is_no_grid(tmp_path: Path) -> None:
    assert read_defence_grid(tmp_path) is None


def test_another_document_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"schema": "clonecost/result/2"}', encoding="utf-8")
    with pytest.raises(RunError, match="is not a clonecost/defences/1 document"):
        read_defence_grid(tmp_path)


def test_only_a_gain_above_its_interval_counts() -> None:
    grid = defence_grid()
    more = {row.defence: row.more_than_label for row in grid.rows}
    assert more == {"none": False, "label": None, "reverse_sigmoid:beta=0.7": False,
                    "dawn:rate=0.1": True}  # fmt: skip
    assert grid.floor.worst_attacker.agreement.value == 0.7


def test_a_row_whose_worst_attacker_is_missing_is_refused(tmp_path: Path) -> None:
    text = defence_grid().model_dump_json().replace('"worst":"', '"worst":"no-')
    (tmp_path / FILE).write_text(text, encoding="utf-8")
    with pytest.raises(RunError, match="is none of the row's attackers"):
        read_defence_grid(tmp_path)
