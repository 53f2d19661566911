"""Where a ledger may say that another run paid: a stranger's ledger must not name any file."""

from pathlib import Path

import pytest

from clonecost.oracle.payer import payer


@pytest.mark.parametrize(("name", "place"), [
    ("0", "group/0"), ("../none/0", "none/0"), ("../../0", None), ("../0", None), ("a/b", None),
    ("..", None), (".", None), ("../../", None), ("../../../etc", None), ("/etc", None),
    ("../..", None), ("..\\x", None), ("", None),
])  # fmt: skip
def test_a_ledger_names_no_folder_but_those_of_its_panel_or_grid(
    tmp_path: Path, name: str, place: str | None
) -> None:
    found = payer(tmp_path / "group" / "1", name)
    assert (found and found.resolve()) == (place and (tmp_path / place).resolve())
