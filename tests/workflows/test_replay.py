"""Another student, trained on what was bought."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.support.cli_runs import asked, run
from tests.support.run_folders import AUDIT

from clonecost.data import part_rows
from clonecost.errors import LedgerError
from clonecost.workflows.replay import replay


def test_replay_asks_nothing_and_needs_no_victim(
    out: Path, log: Path, bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data only"
    data.mkdir()
    for name in ("test.npz", "proxy.npz"):
        shutil.copy(bench / name, data)
    spec = (out / "spec.toml").read_text()
    (out / "spec.toml").write_text(spec.replace("own:probs", "nowhere:probs"))
    monkeypatch.chdir(data)
    said = run("replay", out, "--student", "half-lenet", "--epochs", "2")
    assert said.status == 0, said.err
    assert "half-lenet trained on 100 paid rows" in said.out
    assert asked(log) == []
    again = run("replay", out, "--student", "half-lenet", "--epochs", "2", "--json")
    found = json.loads(again.out)
    assert found["rows"] == found["score"]["queries"] == 100
    assert (out / "replays" / "half-lenet-seed0.safetensors").is_file()
    (out / "spec.toml").write_text(spec)
    assert run("verify", out).status == 0


def test_replay_of_generated_inputs(out: Path, finished: Path) -> None:
    said = run("replay", finished.parent / "dfme", "--student", "lenet", "--epochs", "1")
    assert said.status == 0, said.err
    assert "trained on 96 paid rows" in said.out


def test_replay_of_rows_that_stay_on_the_disk(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, held = replay(out, "half-lenet", epochs=1)
    whole = path.with_suffix(".safetensors").read_bytes()
    monkeypatch.setattr(part_rows, "IN_MEMORY", 0)
    path, read = replay(out, "half-lenet", epochs=1)
    assert path.with_suffix(".safetensors").read_bytes() == whole
    assert read.score == held.score


def test_replay_needs_inputs_that_were_kept(out: Path, tmp_path: Path) -> None:
    words = [*AUDIT, "--budget", "60", "--keep", "none", "--out", tmp_path / "bare"]
    assert run(*words).status == 0
    said = run("replay", tmp_path / "bare", "--student", "lenet")
    assert said.status == 2
    assert "--keep all" in said.err


def test_replay_refuses_an_unknown_student_and_other_test_rows(
    out: Path, bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "did you mean 'lenet'" in run("replay", out, "--student", "lenett").err
    swapped = tmp_path / "swapped"
    swapped.mkdir()
    shutil.copy(bench / "proxy.npz", swapped)
    rows = dict(np.load(bench / "test.npz"))
    np.savez(swapped / "test.npz", inputs=rows["inputs"][::-1], labels=rows["labels"])
    monkeypatch.chdir(swapped)
    with pytest.raises(LedgerError, match="has other rows than the test set of"):
        replay(out, "lenet", epochs=1)
