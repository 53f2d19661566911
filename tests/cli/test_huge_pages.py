"""The program asks for huge pages where that helps, and leaves the user's choice alone."""

import os
from pathlib import Path

import pytest

from clonecost.cli import huge_pages, main


@pytest.mark.parametrize(
    ("system", "user", "then"),
    [
        ("always [madvise] never\n", None, "1"),
        ("always [madvise] never\n", "0", "0"),
        ("[always] madvise never\n", None, None),
        ("always madvise [never]\n", None, None),
        (None, None, None),
    ],
)
def test_torch_is_told_before_it_is_loaded(
    system: str | None, user: str | None, then: str | None, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if system is not None:
        (tmp_path / "enabled").write_text(system)
    monkeypatch.setattr(huge_pages, "ALLOWED", tmp_path / "enabled")
    monkeypatch.setenv(huge_pages.SWITCH, user or "")  # so that it is restored
    if user is None:
        monkeypatch.delenv(huge_pages.SWITCH)
    monkeypatch.setattr("sys.argv", ["clonecost", "--version"])
    with pytest.raises(SystemExit):
        main()
    assert os.environ.get(huge_pages.SWITCH) == then
