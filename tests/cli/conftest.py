"""Where commands are run, and what their victim was asked."""

from pathlib import Path

import pytest


@pytest.fixture
def at_the_bench(bench: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bench)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every row that reaches the newcomer's victim."""
    monkeypatch.setenv("OWN_LOG", str(tmp_path / "asked"))
    return tmp_path / "asked"
