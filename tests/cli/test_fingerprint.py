"""`clonecost fingerprint`: facts in words or as JSON, and the folder that holds them."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.support.cli_runs import run

from clonecost.cli.fingerprint import ROWS
from clonecost.workflows.fingerprint import BUDGET


def test_facts_are_shown_and_given_as_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("clonecost.workflows.fingerprint.BACKBONES", {})
    (tmp_path / "net_for_fingerprint.py").write_text(
        "def net(x):\n    return (x.flatten(1)[:, :4] * 3).softmax(1)\n"
    )
    np.savez("test.npz", inputs=np.zeros((4, 3, 8, 8), dtype=np.uint8), labels=np.arange(4))
    words = ["fingerprint", "net_for_fingerprint:net", "--test", "test.npz", "--shape", "3,8,8",
             "--budget", "60", "--classes", "4", "--out", "who",
             "--backbone", "tests.support.toy_backbone:encoder"]  # fmt: skip
    said = run(*words)
    assert said.status == 0, said.err
    shown = " ".join(said.out.split())
    for fact in ("3 x 8 x 8, 4 classes", "60 rows of photos", "steady yes", "mean colours",
                 "no sign tests.support.toy_backbone:encoder", "frozen_head"):  # fmt: skip
        assert fact in shown
    as_json = json.loads(run(*words, "--json").out)
    assert as_json == json.loads(Path("who/fingerprint.json").read_text())
    assert as_json["schema"] == "clonecost/fingerprint/1"
    assert ROWS == BUDGET


def test_a_table_is_refused_in_one_sentence(tmp_path: Path) -> None:
    said = run("fingerprint", "iris-softmax", "--out", str(tmp_path / "out"))
    assert said.status == 2
    assert "takes rows of a table" in said.err
