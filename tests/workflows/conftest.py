"""Finished runs, copied before a test touches them."""

import shutil
from pathlib import Path

import pytest
from tests.support.cli_runs import MINE, SMALL_DFME, run
from tests.support.run_folders import AUDIT, made_here


@pytest.fixture(scope="session")
def finished(bench: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 100 queries; tests copy it before they touch it."""
    out = tmp_path_factory.mktemp("finished") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(bench)
        assert run(*AUDIT, "--budget", "100", "--out", out).status == 0
        assert run(*AUDIT[:1], *MINE, *SMALL_DFME, "--budget", "96", "--out", out.parent / "dfme",
                   "--keep", "all").status == 0  # fmt: skip
    return out


@pytest.fixture
def at_bench(bench: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The bench, which is the working directory."""
    monkeypatch.chdir(bench)
    return bench


@pytest.fixture
def out(
    finished: Path, at_bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:  # fmt: skip
    monkeypatch.setenv("OWN_LOG", str(tmp_path / "asked"))
    return made_here(Path(shutil.copytree(finished, tmp_path / "run")))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "asked"
