"""Committed grids of defences fit their schema, and their tables are made from them."""

from pathlib import Path

import pytest

from clonecost.report.defence_table import as_markdown
from clonecost.result.defence_grid import DefenceGrid

GRIDS = sorted((Path(__file__).parents[2] / "suites/results/grids").glob("*.json"))


@pytest.mark.parametrize("path", GRIDS, ids=lambda path: path.stem)
def test_the_table_is_that_of_the_document(path: Path) -> None:
    grid = DefenceGrid.model_validate_json(path.read_bytes())
    assert path.with_suffix(".md").read_text(encoding="utf-8") == as_markdown(grid)
