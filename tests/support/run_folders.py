"""What tests do to the run folders of `tests/workflows/conftest.py`."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.support.cli_runs import MINE, QUICK

from clonecost.result import read_result
from clonecost.workflows.agreements import remember
from clonecost.workflows.run import spec_of

AUDIT = ["audit", *MINE, *QUICK]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file, but for those in which SQLite notes that someone reads."""
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if not path.name.startswith("ledger.sqlite-")
    }


def fresh_copy(folder: Path, to: Path) -> Path:
    """Copy a folder to `to`, in the place of an earlier copy: for each example of a test."""
    shutil.rmtree(to, ignore_errors=True)
    return shutil.copytree(folder, to)


def made_here(folder: Path) -> Path:
    """The copy of a run folder, with the consent that its original has."""
    remember(folder, spec_of(folder))
    return folder


def queries(folder: Path) -> list[int]:
    return [score.queries for score in read_result(folder).curve]


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def sql(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()
