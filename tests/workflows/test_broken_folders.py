"""Damaged run folders: one sentence, whatever is done with them."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.cli_runs import asked, run
from tests.support.run_folders import cut_in_half


def foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE recipes (cake TEXT)")
        db.commit()


def make_it_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


BROKEN: dict[str, Callable[[Path], object]] = {
    "cut in half": lambda run: cut_in_half(run / "ledger.sqlite"),
    "no database": lambda run: (run / "ledger.sqlite").write_text("not a database, but long " * 99),
    "empty": lambda run: (run / "ledger.sqlite").write_bytes(b""),
    "a folder": lambda run: make_it_a_folder(run / "ledger.sqlite"),
    "foreign": lambda run: foreign(run / "ledger.sqlite"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_ledger_is_one_sentence_everywhere(how: str, out: Path, log: Path) -> None:
    result = (out / "result.json").read_bytes()
    BROKEN[how](out)
    for words in (["resume", out, "--budget", "160"], ["verify", out],
                  ["replay", out, "--student", "lenet", "--epochs", "1"]):  # fmt: skip
        said = run(*words)
        assert said.status == 2, words
        assert "Traceback" not in said.err
        assert "unexpected" not in said.err
        assert "ledger.sqlite" in said.err or "database" in said.err
    assert (out / "result.json").read_bytes() == result
    assert asked(log) == []


@pytest.mark.parametrize("name", ["result.json", "spec.toml", "samples.safetensors"])
def test_a_half_written_file_is_one_sentence(name: str, out: Path) -> None:
    cut_in_half(out / name)
    words = {"result.json": ["report", out], "spec.toml": ["resume", out],
             "samples.safetensors": ["report", out]}[name]  # fmt: skip
    said = run(*words)
    assert said.status == 2
    assert name in said.err
    assert "unexpected" not in said.err
