"""No client fills the log, and nothing in it is obeyed."""

import logging

import pytest
from tests.support.hostile_text import controls

from clonecost.serving.logs import LINES, SPAN, Sparing, to_standard_error


def entry(message: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord("uvicorn.error", logging.WARNING, "", 0, message, args, None)


def test_a_flood_of_one_kind_is_a_few_entries_a_minute() -> None:
    now = 0.0
    sparing = Sparing(lambda: now)
    passed = 0
    for _ in range(100_000):
        now += SPAN / 10_000
        passed += sparing.filter(entry("from %s", passed))
    assert passed <= 11 * LINES
    assert sparing.filter(entry("something else"))


def test_what_was_left_out_is_counted() -> None:
    now = 0.0
    sparing = Sparing(lambda: now)
    for _ in range(LINES + 7):
        sparing.filter(entry("Invalid HTTP request received."))
    now = SPAN
    again = entry("Invalid HTTP request received.")
    assert sparing.filter(again)
    assert again.getMessage() == "(7 more like this were left out) Invalid HTTP request received."


def test_the_log_shows_control_characters_and_cuts(capsys: pytest.CaptureFixture[str]) -> None:
    with to_standard_error():
        logging.getLogger("uvicorn.error").warning("a host: %s", "cat\x1b[2J\u202e")
        logging.getLogger("asyncio").error("x" * 1_000_000)
    said = capsys.readouterr().err
    assert r"WARNING a host: cat\x1b[2J\u202e" in said
    assert not controls(said)
    assert len(said) < 10_000
    assert not logging.getLogger("clonecost.serving").handlers
