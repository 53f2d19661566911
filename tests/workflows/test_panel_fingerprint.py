"""A panel looks for the victim's backbone first, and its attacks follow what it finds."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from clonecost.audit import Watcher
from clonecost.config import EVERYTHING, make_spec
from clonecost.config import panel_entries as entries
from clonecost.config.panel_entries import entries_of
from clonecost.config.panels import PROBED, Entry, PanelLevel
from clonecost.errors import RunError
from clonecost.oracle.record import Record
from clonecost.report.panel import fingerprint_lines
from clonecost.result import PanelDocument, read_panel
from clonecost.result.fingerprint import BackboneSign, Fingerprint
from clonecost.students.naming import parse_student
from clonecost.workflows import panel as panels
from clonecost.workflows.panel import run_panel
from clonecost.workflows.panel_fingerprint import Known

SIDE, BUDGET, POOL, TEST = 64, 1_100, 120, 40
SOURCE = """
import torch
from torch.nn.functional import interpolate
from tests.support.toy_backbone import D, encoder

HEAD = torch.randn(4, D, generator=torch.Generator().manual_seed(0))

def public(pixels):
    small = interpolate(pixels, size=(8, 8), mode="bilinear", antialias=True)
    return (encoder(small) @ HEAD.T).softmax(1)

def unrelated(pixels):
    return (37 * pixels[:, :, ::32, ::32].flatten(1)[:, :4]).sin().softmax(1)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "looked_at_for_test.py").write_text(SOURCE)
    coarse = np.random.default_rng(0).integers(0, 256, (POOL + TEST, 3, 8, 8), dtype=np.uint8)
    rows = coarse.repeat(8, axis=2).repeat(8, axis=3)
    np.savez(tmp_path / "pool.npz", inputs=rows[:POOL])
    np.savez(tmp_path / "test.npz", inputs=rows[POOL:], labels=np.arange(TEST) % 4)
    monkeypatch.chdir(tmp_path)
    one = PanelLevel(summary="", budget=BUDGET, minutes=None, table=(), text=(),
                     images=(Entry(attack="frozen_head", large=True),))  # fmt: skip
    monkeypatch.setattr(entries, "panel_level", lambda level: one)
    monkeypatch.setattr(panels, "speed_of_student", lambda *_: 0.0)
    monkeypatch.setattr(panels, "take_measures", lambda *_: None)
    yield tmp_path
    sys.modules.pop("looked_at_for_test", None)


def panel(name: str, out: Path) -> PanelDocument:
    spec = make_spec({
        "victim": f"looked_at_for_test:{name}", "test": "test.npz", "proxy": "pool.npz",
        "panel": "quick", "classes": 4, "budget": BUDGET, "spot_check": 0, "minutes": 10,
        "shape": [3, SIDE, SIDE],
        "set": {"frozen_head": {"backbone": "tests.support.toy_backbone:encoder"}},
    })  # fmt: skip
    list(run_panel(spec, out, watch=lambda audit: Watcher(), consent=EVERYTHING))
    book = read_panel(out)
    assert book is not None
    return book


def test_a_public_backbone_is_found_and_its_head_copied_for_the_rows_that_it_needs(
    folder: Path,
) -> None:
    book = panel("public", folder / "run")
    assert book.fingerprint is not None
    best = book.fingerprint.best
    assert best is not None
    assert best.sign == "recognised"
    (entry,) = book.entries
    assert entry.ended == "finished"
    assert entry.spent == book.fingerprint.attacks[0].queries == 30
    assert entry.spent + book.fingerprint.asked == book.spent  # every row is in the account
    record = Record.read(folder / "run" / "fingerprint.sqlite")
    assert record.totals("attack").settled == book.fingerprint.asked == 44
    record.close()
    first, second = fingerprint_lines(book.fingerprint)
    assert "44 queries: the model has the public backbone tests.support.toy_backbone" in first
    assert "30 queries give frozen_head an exact copy" in second


def test_without_a_sign_of_the_backbone_frozen_head_is_not_run_and_says_why(folder: Path) -> None:
    with pytest.raises(RunError, match="no backbone of the dictionary explains the answers"):
        panel("unrelated", folder / "run")
    book = read_panel(folder / "run")
    assert book is not None
    assert book.entries[0].ended == "not_run"
    assert book.spent == 44


def test_students_on_a_backbone_take_pictures_of_the_size_that_explains_most() -> None:
    spec = make_spec({"victim": "model.onnx", "shape": [3, 96, 96], "panel": "quick"})
    sign = BackboneSign(name="efficientnet-lite0", normalisation="imagenet", size=96,
                        features=1_280, explained=0.8, sign="no sign")  # fmt: skip
    found = Fingerprint.model_construct(backbones=[sign], attacks=[])
    students = {one.attack: Known(found).student(one) for one in entries_of(spec)}
    assert students["knockoff:linear_probe"] == f"{PROBED},size=96"
    assert students["knockoff:shared"] is None
    assert {Known().student(one) for one in entries_of(spec)} == {PROBED, None}
    assert parse_student(f"{PROBED},size=96").frozen
