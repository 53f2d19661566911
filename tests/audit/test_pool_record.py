"""A run with a pool on disk says which file each row came from, and which were skipped."""

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.support.toys import SHAPE, MakeAudit

from clonecost.attacks.knockoff import Knockoff
from clonecost.audit import Watcher, run_audit
from clonecost.data import load_proxy
from clonecost.types import LabelledInputs, ThreatModel


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pool")
    rng = np.random.default_rng(0)
    for number in range(120):
        pixels = rng.integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{number:03}.png")
    (root / "007.png").write_bytes(b"no picture")
    return root


def test_each_asked_row_has_its_file(
    folder: Path, make_audit: MakeAudit, threat: ThreatModel, test_set: LabelledInputs
) -> None:
    notices: list[str] = []
    pool = load_proxy(str(folder), shape=SHAPE)
    rows = test_set.inputs.clone()
    rows[[0, 1, 9]] = pool.rows(torch.tensor([20, 21, 30]))
    attack = Knockoff(recipe="shared", epochs=1, batch_size=50)
    audit = make_audit(
        attack, proxy=pool, milestones=(), test=dataclasses.replace(test_set, inputs=rows),
        threat=dataclasses.replace(threat, query_budget=120),
    )  # fmt: skip
    result = run_audit(audit, Watcher(notice=notices.append))
    with (audit.folder / "pool.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [int(line["query"]) for line in lines] == [*range(120)]
    assert {int(line["row"]) for line in lines} == {*range(120)}
    for line in lines:
        row = int(line["row"])
        assert line["file"] == f"{8 if row == 7 else row:03}.png"
    assert any("1 of the 120 pictures" in notice and "007.png" in notice for notice in notices)
    flagged = {flag.code: flag.message for flag in result.flags}
    assert flagged["proxy-overlaps-test"].startswith("3 of 400 test inputs")
