"""Events: lines that anybody can read, and that harm no run."""

from pathlib import Path

import pytest

from clonecost.errors import RunError
from clonecost.persistence import event_file
from clonecost.persistence.run_folder import EVENTS


def test_what_is_no_event_is_left_out(tmp_path: Path) -> None:
    event_file.append(tmp_path, "spent", rows=3, budget=9)
    with (tmp_path / EVENTS).open("ab") as file:
        file.write(b'{"event": "spent", "ti\n[1]\n\xff\n{"event": "spent", "time": "noon"}\n')
    event_file.append(tmp_path, "end", rows=9)
    assert [event["event"] for event in event_file.read(tmp_path)] == ["spent", "end"]
    assert (tmp_path / EVENTS).stat().st_mode & 0o777 == 0o600


def test_of_a_long_file_both_ends_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_file, "HEAD", 300)
    monkeypatch.setattr(event_file, "TAIL", 300)
    for rows in range(50):
        event_file.append(tmp_path, "spent", rows=rows, budget=50)
    read = [event["rows"] for event in event_file.read(tmp_path)]
    assert (read[0], read[-1]) == (0, 49)
    assert len(read) < 10


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("")
    (tmp_path / EVENTS).symlink_to(elsewhere)
    event_file.append(tmp_path, "end", rows=1)
    assert elsewhere.read_text() == ""
    with pytest.raises(RunError, match="not a regular file"):
        list(event_file.read(tmp_path))
