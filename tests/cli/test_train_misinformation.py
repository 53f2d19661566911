"""`clonecost train misinformation`: from a victim to a defence that is ready to be named."""

from pathlib import Path

import pytest
import torch
from tests.support.cli_runs import run

from clonecost.config import make_defence

MINE = ["lenet.safetensors", "--network", "lenet", "--classes", "4", "--own", "labelled.npz",
        "--proxy", "proxy.npz", "--epochs", "1"]  # fmt: skip


@pytest.fixture
def here(bench: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(bench)
    return bench


def test_its_output_is_a_defence(here: Path, tmp_path: Path) -> None:
    said = run("train", "misinformation", *MINE, "--out", tmp_path / "wrong.safetensors")
    assert (said.status, said.err.count("lenet trained on")) == (0, 1)
    defended = make_defence(said.out.strip() + ",threshold=1")(
        lambda rows: torch.full((len(rows), 4), 0.25)
    )
    found = defended(torch.rand(5, 1, 16, 16))
    assert not torch.equal(found, torch.full((5, 4), 0.25))  # the network answers


@pytest.mark.parametrize(("words", "why"), [
    ([*MINE, "--out", "wrong.npz"], "not the name of a new .safetensors file"),
    ([*MINE[:5], "--proxy", "proxy.npz"], "training data of lenet.safetensors are not known"),
    ([*MINE, "--own", "proxy.npz"], "label of the victim's classes for every row"),
    ([*MINE, "--epochs", "0"], "too few epochs"),
    (["http://localhost:1/v2/models/x", "--student", "lenet"], "is an endpoint"),
])  # fmt: skip
def test_what_cannot_be_trained_is_refused(here: Path, words: list[str], why: str) -> None:
    said = run("train", "misinformation", *words)
    assert (said.status, why in said.err) == (2, True), said.err
    assert not (here / "misinformation.safetensors").exists()
