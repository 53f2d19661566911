import os
from pathlib import Path

import pytest

from clonecost.errors import DataError, SpecError, VictimError
from clonecost.persistence import file_limits
from clonecost.persistence.file_limits import at_home, free_memory, must_fit_memory, regular_file


def test_only_a_regular_file_is_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert regular_file(tmp_path / "file") == regular_file(tmp_path / "link") == 5
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    for name, kind in (("none", "no file"), ("pipe", "is a pipe"), (".", "is a folder"),
                       ("circle", "cannot be opened"), ("file/x", "no file"),
                       ("nul\0l", "cannot be opened")):  # fmt: skip
        with pytest.raises(VictimError, match=kind):
            regular_file(tmp_path / name, VictimError)
    with pytest.raises(SpecError, match="/dev/zero is a device, not a regular file"):
        regular_file(Path("/dev/zero"), SpecError)


def test_three_quarters_of_the_free_memory_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (free_memory() or 1) > 0
    must_fit_memory("it", 1_000)
    monkeypatch.setattr(file_limits, "free_memory", lambda: 4 << 30)
    must_fit_memory("it", 3 << 30)
    with pytest.raises(DataError, match=r"it needs 5\.0 GiB of memory, and 3\.0 GiB may be used"):
        must_fit_memory("it", 5 << 30)
    monkeypatch.setattr(file_limits, "free_memory", lambda: None)
    must_fit_memory("it", 1 << 60)


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    assert at_home("~/x.npz") == Path("/somewhere/x.npz")
    for name in ("x/~/y", "~nobody-of-this-name/x", ""):
        assert at_home(name) == Path(name)
