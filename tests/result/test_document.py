"""Reading `result.json`: a folder of another kind is told apart from a run that did not finish."""

from pathlib import Path

import pytest

from clonecost.errors import RunError
from clonecost.result import read_result


def test_a_folder_of_several_runs_names_them(tmp_path: Path) -> None:
    for name in ("02-ex_nihilo", "01-knockoff"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text("{}")
    with pytest.raises(
        RunError, match=r"holds several runs.* want .*01-knockoff or .*02-ex_nihilo"
    ):
        read_result(tmp_path)


def test_a_folder_without_a_result_did_not_finish(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="did not finish"):
        read_result(tmp_path)
