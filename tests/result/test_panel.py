"""The document of a panel, `OUT/panel.json`."""

from pathlib import Path

import pytest

from clonecost.errors import RunError
from clonecost.result import (
    PANEL,
    PanelDocument,
    PanelEntry,
    PanelLimits,
    WatchRows,
    read_panel,
)


def _panel() -> PanelDocument:
    entry = PanelEntry(
        name="ex_nihilo", run=None, attack="ex_nihilo", owns="nothing", seed=0, budget=100
    )
    return PanelDocument(
        level="quick", entries=[entry], rule="none", spent=0,
        watch=WatchRows(ledger=None, rows=0, words="none"), limits=PanelLimits(budget=200),
    )  # fmt: skip


def test_a_panel_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_panel(tmp_path) is None
    (tmp_path / PANEL).write_text(_panel().model_dump_json())
    assert read_panel(tmp_path) == _panel()
    assert '"schema":"clonecost/panel/1"' in (tmp_path / PANEL).read_text()


def test_a_damaged_panel_is_one_sentence_that_names_the_key(tmp_path: Path) -> None:
    (tmp_path / PANEL).write_text(_panel().model_dump_json().replace('"quick"', '"quicker"'))
    with pytest.raises(RunError, match=r"clonecost/panel/1 document: level: .*'quick'"):
        read_panel(tmp_path)
