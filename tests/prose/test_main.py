"""`python -m prose` finds what it should, where it stands, and leaves code alone."""

from pathlib import Path

import pytest
from prose.__main__ import RULES, check


def faults(folder: Path, name: str, text: str) -> list[str]:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return check([path], folder)


@pytest.mark.parametrize(
    ("sentence", "better"),
    [
        ("The purse holds 100 rows.", "account"),
        ("Two scouts judge each row.", "surrogate"),
        ("Its flight was lost.", "delivery"),
        ("Of a weights file.", "subject first"),
        ("A clone that always names the commonest class.", "majority-class baseline"),
        ("457 rows were named rightly.", "classified correctly"),
        ("The student has a rate of .5 here.", "a zero before the point"),
        ("It agrees on 95% of the rows.", "a space before"),
        ("Its behavior has one color.", "behaviour"),
        ("The answers are recieved.", "received"),
        ("It sends the the row.", "repeated"),
    ],
)
def test_a_fault_is_found(sentence: str, better: str, tmp_path: Path) -> None:
    found = faults(tmp_path, "page.md", f"# A page\n\n{sentence}\n")
    assert any(line.startswith("page.md:3:") and better in line for line in found), found


def test_good_prose_and_code_pass(tmp_path: Path) -> None:
    page = """# Rows in flight

    purse = .5   # an indented block

The account of each run is *kept*: `purse`, [a link](purse/.5%), 0.5 of 95 %.

```python
color = .5
```
"""
    assert faults(tmp_path, "page.md", page) == []


def test_texts_of_a_module_are_read_and_its_code_is_not(tmp_path: Path) -> None:
    module = '''"""The purse of a run."""

purse = {"purse": .5}  # the scouts have none
raise ValueError(f"the color {purse} of an image")
raise ValueError("color")
'''
    found = faults(tmp_path, "module.py", module)
    assert [line.split(":")[1] for line in found] == ["1", "3", "4"], found


def test_the_list_of_folders_that_do_not_pass_yet_names_folders() -> None:
    root = Path(__file__).parents[2]
    assert all((root / folder).exists() for folder in RULES["not_yet"])
