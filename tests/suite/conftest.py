"""The toy suite, in the folder of its victim."""

from pathlib import Path

import pytest
from tests.support.toy_suite import TOY


@pytest.fixture
def toy(bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(bench)
    monkeypatch.syspath_prepend(str(bench))
    monkeypatch.setenv("OWN_LOG", str(tmp_path / "asked"))
    path = tmp_path / "toy.toml"
    path.write_text(TOY, encoding="utf-8")
    return path
