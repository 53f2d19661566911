"""An API's own log: what is read, and one sentence for each thing that is wrong with it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.api_logs import HONEST, attacked
from tests.support.hostile_text import OBEYED

from clonecost.errors import DataError
from clonecost.monitoring import log_file
from clonecost.monitoring.log_file import read_log

ROW = {"time": "2026-03-01T12:00:00Z", "principal": "a", "digest": "00", "top1": "cat",
       "confidence": 0.5}  # fmt: skip


def written(path: Path, *rows: Any) -> Path:
    path.write_text(
        "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)
    )
    return path


def test_rows_go_to_their_principals_in_order(tmp_path: Path) -> None:
    log = read_log(attacked(tmp_path / "log.jsonl"))
    assert len(log.principals) == HONEST + 1
    assert sum(len(log.stream(number)) for number in range(len(log.principals))) == len(log.rows)
    mallory = log.stream(log.principals.index("mallory"))
    assert len(mallory) == 150
    assert (np.diff(log.times) > 0).all()
    assert log.busiest_days().sum() <= len(log.rows)


def test_forms_of_time_and_row(tmp_path: Path) -> None:
    log = read_log(written(tmp_path / "log", {**ROW, "time": "2026-03-01T12:00:00"},
                           {**ROW, "time": "2026-03-01T13:00:01+01:00"}, ""))  # fmt: skip
    assert np.diff(log.times).tolist() == [1.0]
    rows = [{**ROW, "row": [1, 2.5]}, {**ROW, "row": [1, 2.5]}, {**ROW, "row": [1, 2]}]
    for row in rows:
        del row["digest"]
    digests = read_log(written(tmp_path / "rows", *rows)).rows.digests
    assert digests[0] == digests[1] != digests[2]


def test_a_log_without_confidence_is_read(tmp_path: Path) -> None:
    row = {name: value for name, value in ROW.items() if name != "confidence"}
    assert read_log(written(tmp_path / "log", row, row)).rows.confidence is None


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in ROW.items() if key != name}


@pytest.mark.parametrize(
    ("second", "sentence"),
    [
        (without("principal"), "line 2, has no 'principal'. Log time, principal, top1, and digest"),
        (without("time"), "line 2, has no 'time'"),
        (without("top1"), "line 2, has no 'top1'"),
        (without("digest"), "line 2, has neither a digest nor a row"),
        (without("confidence"), "line 2, has no confidence, and the lines before have a conf"),
        ({**ROW, "principal": 17}, "line 2, has a number as its principal, and the lines before"),
        ({**ROW, "principal": ["a"]}, "has a principal that is neither a text nor a whole number"),
        ({**ROW, "principal": True}, "neither a text nor a whole number: got True"),
        ({**ROW, "principal": "x" * 201}, "has a principal of 201 characters: want 1 to 200"),
        ({**ROW, "top1": 3}, "line 2, has a number as its top1"),
        ({**ROW, "time": "2026-03-01T11:59:59Z"}, "the times run backwards. Sort the log by time"),
        ({**ROW, "time": 1_800_000_000}, "line 2, has a number as its time"),
        ({**ROW, "time": "yesterday"}, "line 2, has a time that is none: got 'yesterday'"),
        ({**ROW, "time": 1e300}, "has a time that is none"),
        ({**ROW, "confidence": 1.5}, "no probability: got 1.5, want 0 to 1"),
        ({**ROW, "confidence": "high"}, "no probability: got 'high'"),
        ({**without("digest"), "row": [1, "a"]}, "line 2, has a row, and the lines before have a"),
        ('{"time": NaN}', "line 2, is no JSON object"),
        ("[1, 2]", "line 2, is no JSON object"),
        ("{", "line 2, is no JSON object"),
        ("[" * 100_000, "line 2, is no JSON object"),
        ('{"time": ' + "1" * 5_000 + "}", "line 2, is no JSON object"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence_with_its_line(
    tmp_path: Path, second: Any, sentence: str
) -> None:
    with pytest.raises(DataError) as caught:
        read_log(written(tmp_path / "log", ROW, second))
    assert sentence in str(caught.value)
    assert len(str(caught.value)) < 400


def test_rows_of_words_and_empty_logs(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a row that is no list of numbers"):
        read_log(written(tmp_path / "log", {**without("digest"), "row": [[1], [1, 2]]}))
    (tmp_path / "empty").write_text("\n\n")
    with pytest.raises(DataError, match="has no rows"):
        read_log(tmp_path / "empty")
    with pytest.raises(DataError, match="not a regular file"):
        read_log(tmp_path)


def test_limits_hold_before_memory_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_file, "LOG_LINE", 200)
    monkeypatch.setattr(log_file, "LOG_ROWS", 3)
    monkeypatch.setattr(log_file, "LOG_PRINCIPALS", 2)
    with pytest.raises(DataError, match="line 2, is longer than 200 bytes"):
        read_log(written(tmp_path / "log", ROW, {**ROW, "digest": "0" * 200}))
    with pytest.raises(DataError, match="has more than 3 lines"):
        read_log(written(tmp_path / "log", *[ROW] * 4))
    with pytest.raises(DataError, match="has one principal more than 2"):
        read_log(written(tmp_path / "log", *({**ROW, "principal": name} for name in "abc")))


@pytest.mark.parametrize("name", OBEYED)
def test_hostile_names_are_names(tmp_path: Path, name: str) -> None:
    log = read_log(written(tmp_path / "log", {**ROW, "principal": name},
                           {**ROW, "principal": "other", "top1": name}))  # fmt: skip
    assert log.principals == (name, "other")
    assert name in log.classes


def test_a_lone_surrogate_is_spelt_out(tmp_path: Path) -> None:
    log = read_log(written(tmp_path / "log", '{"time": 1, "principal": "\\ud800", '
                           '"digest": "\\ud800", "top1": "a"}'))  # fmt: skip
    assert log.principals == ("\\ud800",)
