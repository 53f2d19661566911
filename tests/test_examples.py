"""The examples run as they stand, in a folder of their own.

The notebook's cells are executed one after the other by this test, not by nbclient, which would
bring 22 packages (a kernel, ZeroMQ, IPython) for plain Python that uses nothing of a notebook.
"""

import json
import re
import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
AGREEMENT = re.compile(r"agree(ment|s)\b.*\d")


@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_a_script_runs_and_prints_an_agreement(
    script: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(script), run_name="__main__")
    assert AGREEMENT.search(capsys.readouterr().out)
    assert list(tmp_path.glob("runs/**/result.json"))


@pytest.mark.parametrize("notebook", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_runs_from_its_first_cell_to_its_last(
    notebook: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") for cell in cells), "commit the notebook without outputs"
    names: dict[str, object] = {"__name__": "__main__"}
    for number, cell in enumerate(cells):
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{notebook.name}[{number}]", "exec"), names)
    assert len(AGREEMENT.findall(capsys.readouterr().out)) >= 2
    assert len(list(tmp_path.glob("runs/*/result.json"))) == 2
