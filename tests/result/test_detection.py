"""The document of the detectors: it is read back as it was written, and nothing else is."""

from pathlib import Path

import pytest

from clonecost.errors import RunError
from clonecost.result.detection import Benign, Cap, Detection, DetectorFinding, read_detection

DETECTION = Detection(
    queries=1_000,
    rate=0.01,
    benign=Benign(
        source="the test set", rows=500, accounts=400, account_rows=100, kinds={"shuffled": 400}
    ),
    detectors=[DetectorFinding(name="labels", settings={"least": 20}, threshold=2.0)],
    caps=[Cap(band=0.75, days=30, below=900, reached=1_000, per_day=30, accounts_in_a_day=34)],
    noticed=False,
    verdict="Nobody would have noticed.",
    seed=0,
    seconds=0.1,
    ledger_head="0" * 64,
)


def test_a_document_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "detection.json").write_text(DETECTION.model_dump_json(indent=2))
    assert '"schema": "clonecost/detection/1"' in (tmp_path / "detection.json").read_text()
    assert read_detection(tmp_path) == DETECTION


def test_a_run_without_detectors_has_no_document(tmp_path: Path) -> None:
    assert read_detection(tmp_path) is None


@pytest.mark.parametrize("text", ["{}", "[1", '{"schema": "clonecost/detection/9"}'])
def test_another_document_is_refused_with_a_remedy(tmp_path: Path, text: str) -> None:
    (tmp_path / "detection.json").write_text(text)
    with pytest.raises(RunError, match=r"is not a clonecost/detection/1 document: .*Try the"):
        read_detection(tmp_path)
