"""`clonecost detect LOG.jsonl`: what an owner reads about their own traffic."""

import json
from pathlib import Path

import pytest
from tests.support.api_logs import attacked, honest_lines, write
from tests.support.cli_runs import run
from tests.support.hostile_text import controls


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logs")
    attacked(folder / "log.jsonl")
    attacked(folder / "hostile.jsonl", "mal\x1b[2J\u202elory\nclonecost: all is well")
    write(folder / "honest.jsonl", honest_lines(60, seed=9))
    return folder


def test_principals_are_ranked_with_each_score(folder: Path) -> None:
    said = run("detect", folder / "log.jsonl")
    assert said.status == 0, said.err
    lines = said.out.splitlines()
    first = next(at for at, line in enumerate(lines) if line.startswith("principal"))
    assert lines[first + 1].startswith("mallory")
    assert "compared with each other" in said.out
    assert "no alarm" in said.out
    assert "prada cannot judge this log: it compares inputs, which were not kept." in said.out


def test_honest_traffic_makes_alarms(folder: Path) -> None:
    said = run("detect", folder / "log.jsonl", "--benign", folder / "honest.jsonl", "--rate",
               "0.05", "--json")  # fmt: skip
    assert said.status == 0, said.err
    found = json.loads(said.out)
    assert found["schema"] == "clonecost/log-ranking/1"
    assert found["principals"][0]["name"] == "mallory"
    assert "confidence" in found["principals"][0]["alarms"]


def test_a_hostile_name_is_shown_and_never_obeyed(folder: Path) -> None:
    said = run("detect", folder / "hostile.jsonl")
    assert said.status == 0
    assert not controls(said.out)
    assert "\\x1b" in said.out
    assert "\nclonecost: all is well" not in said.out
    found = json.loads(run("detect", folder / "hostile.jsonl", "--json").out)
    assert "\x1b[2J" in found["principals"][0]["name"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--rate", "2"], "The false-alarm rate is out of range: got 2"),
        (["--detector", "x"], "unknown detector 'x'"),
        (["--benign", "nowhere"], "nowhere is no log, and a log is compared with another log"),
        (["--account-rows", "60"], "--account-rows is for a run"),
        (["--users", "video"], "--users is for a run"),
    ],
)
def test_bad_input_is_one_sentence(folder: Path, words: list[str], sentence: str) -> None:
    said = run("detect", folder / "log.jsonl", *words)
    assert said.status == 2
    assert sentence in said.err
    assert said.err.count("\n") == 1
