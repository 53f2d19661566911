"""The watch rows of a table show whether its answers are constant in pieces, as a tree's are."""

from contextlib import closing
from pathlib import Path

import pytest

from clonecost.config import EVERYTHING, load_parts, make_spec
from clonecost.config.panel_entries import entries_of
from clonecost.oracle.record import Record
from clonecost.types import no_progress
from clonecost.workflows.panel_watch import LEDGER, PROBES, buy_watch


@pytest.mark.parametrize(
    ("victim", "smooth"), [("iris-softmax", True), ("iris-mlp", True), ("iris-tree", False)]
)
def test_a_tiny_step_tells_a_smooth_model_from_a_tree(
    victim: str, smooth: bool, tmp_path: Path
) -> None:
    spec = make_spec({"victim": victim, "panel": "quick", "budget": 1_000})
    parts = load_parts(spec, consent=EVERYTHING)
    without = buy_watch(spec, parts, tmp_path, no_progress)
    assert without.smooth is None
    watch = buy_watch(spec, parts, tmp_path, no_progress, probe=True)
    assert watch.smooth is smooth
    refused = {one.attack: bool(watch.refusal(one)) for one in entries_of(spec)}
    assert [refused[name] for name in ("tramer_tree", "threshold_harvest")] == [smooth, smooth]
    assert refused["relu_exact"] is not smooth
    assert not refused["tramer_lr"]
    assert watch.card.rows == without.card.rows + PROBES == 40 + 25
    with closing(Record.read(tmp_path / LEDGER)) as record:
        assert record.totals("evaluation").settled == watch.card.rows
    again = buy_watch(spec, parts, tmp_path, no_progress, probe=True)  # replayed
    assert again.smooth is smooth
    with closing(Record.read(tmp_path / LEDGER)) as record:
        assert record.totals("evaluation").settled == watch.card.rows
