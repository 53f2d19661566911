"""The key table of docs/spec.md is the schema's own."""

from pathlib import Path

import pytest

from clonecost.config.key_table import key_table, refreshed
from clonecost.config.schema import Spec

PAGE = Path(__file__).parents[2] / "docs" / "spec.md"


def test_the_page_has_the_table_of_the_schema() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == refreshed(page), "run `python -m clonecost.config.key_table docs/spec.md`"


def test_the_table_has_a_row_for_every_key() -> None:
    rows = [line for line in key_table().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == list(Spec.model_fields)
    assert all(row.replace("\\|", "").count("|") == 5 for row in rows)
    default = "10000, of a panel its own; 0 with `access` white-box"
    assert f"| `budget`\\* | `ROWS` | {default} | Query budget" in key_table()


def test_a_page_without_the_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="keys of the schema"):
        refreshed("# A page\n")
