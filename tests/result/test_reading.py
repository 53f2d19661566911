"""Documents that do not fit: every kind says where it does not, and what makes one that does."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from clonecost.errors import RunError
from clonecost.result import read_detection, read_panel, read_result, read_transfer
from clonecost.result.defence_grid import read_defence_grid

KINDS: list[tuple[str, str, Callable[[Path], object]]] = [
    ("result.json", "clonecost/result/2", read_result),
    ("panel.json", "clonecost/panel/1", read_panel),
    ("detection.json", "clonecost/detection/1", read_detection),
    ("transfer.json", "clonecost/transfer/2", read_transfer),
    ("defences.json", "clonecost/defences/1", read_defence_grid),
]


@pytest.mark.parametrize(("name", "schema", "read"), KINDS)
def test_a_document_that_does_not_fit_says_where(
    name: str, schema: str, read: Callable[[Path], object], tmp_path: Path
) -> None:
    path = tmp_path / name
    for text, where in (("{", "the file: Invalid JSON"), ('{"schema": 3}', "schema: Input should")):
        path.write_text(text)
        with pytest.raises(
            RunError, match=re.escape(f"{path} is not a {schema} document: {where}")
        ):
            read(tmp_path)
