"""What is seen while an audit runs: bars on a terminal, plain lines anywhere else."""

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from tests.support.cli_runs import KNOCKOFF, MINE, command, environment, run
from tests.support.hostile_text import controls, names

from clonecost.cli.progress_display import Display
from clonecost.cli.terminal import Sentences, Terminal, write_out
from clonecost.evaluation.chance import corrected
from clonecost.result import Rate, Score

AUDIT = ["audit", *MINE, *KNOCKOFF, "--set", "knockoff.epochs=1", "--set", "knockoff.batch_size=20",
         "--budget", "100", "--milestones", "40"]  # fmt: skip
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-9]|38;5;\d+)m")


def on_a_terminal(bench: Path, *words: str | Path, **more: str) -> str:
    """Everything that a command writes to a terminal of 100 columns."""
    above, below = pty.openpty()
    process = subprocess.Popen(
        command(*words), cwd=bench, stdin=below, stdout=below, stderr=below,
        env=environment(bench, TERM="xterm-256color", COLUMNS="100", LINES="30", **more),
    )  # fmt: skip
    os.close(below)
    shown = b""
    while True:
        try:
            part = os.read(above, 65_536)
        except OSError:  # the other end is closed: the process has ended
            break
        if not part:
            break
        shown += part
    os.close(above)
    assert process.wait() == 0, shown.decode()
    return shown.decode()


def test_a_terminal_shows_spent_and_left(bench: Path, tmp_path: Path) -> None:
    shown = on_a_terminal(bench, *AUDIT, "--out", tmp_path / "run")
    assert "100 spent, 0 left" in shown
    assert COLOUR.search(shown)
    assert "0/200" not in shown  # a bar that never moves
    assert shown.rstrip().endswith("report.html")


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("no_color", [True, False])
def test_no_color_is_respected(no_color: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("sys.stderr", FakeTerminal())
    with Display() as display:
        display.begin("knockoff")
        display.spent(1, 2)
    assert isinstance(sys.stderr, FakeTerminal)
    shown = sys.stderr.getvalue()
    assert "spent" in shown
    assert bool(COLOUR.search(shown)) != no_color


def test_a_pipe_gets_plain_lines_and_the_result_apart(
    bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bench)
    said = run(*AUDIT, "--out", tmp_path / "run")
    assert said.status == 0, said.err
    assert "\x1b" not in said.out + said.err
    assert len(said.out.splitlines()) == 1
    assert "queries: 100 spent, 0 left" in said.err
    assert len(said.err.splitlines()) < 30


def test_an_ascii_terminal_gets_what_it_can_show(bench: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        command("list", "attacks"), cwd=bench, capture_output=True, check=True,
        env=environment(bench, PYTHONIOENCODING="ascii", LC_ALL="C", PYTHONUTF8="0"),
    )  # fmt: skip
    assert b"knockoff" in done.stdout


def test_lines_are_few_however_often_it_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with Display() as display:
        display.begin("knockoff on [bold]mine[/bold]")
        for done in range(1, 10_001):
            display.spent(done, 10_000)
        display.step("training [a] student", 1, 1)
        rate = Rate(value=0.5, low=0.4, high=0.6)
        display.scored(
            Score(
                queries=7,
                accuracy=rate,
                agreement=rate,
                balanced_agreement=rate,
                corrected_agreement=corrected(rate, 0.2),
                learnt=True,
                relative_accuracy=0.5,
                kl=0.1,
            )
        )
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "knockoff on [bold]mine[/bold]"
    assert lines[-2] == "  training [a] student: 1/1"
    assert "7 queries: agreement 50.0 % (95 % CI 40.0 to 60.0 %)" in lines[-1]
    assert lines[-1].endswith(", chance-corrected 37.5 %, accuracy 50.0 %")
    assert len(lines) < 12


def test_a_quiet_display_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Display(quiet=True) as display:
        display.begin("x")
        display.spent(1, 1)
    assert capsys.readouterr().err == ""


STYLE = re.compile(r"\x1b\[[0-9;]*m")


@settings(max_examples=50)
@given(name=names, styled=st.booleans())
def test_no_name_reaches_the_terminal_as_a_control_character(name: str, styled: bool) -> None:
    table = Table(name)
    table.add_row(escape(name))
    table.add_row(Text(name, style="red"))
    shown = io.StringIO()
    console = Terminal(file=shown, force_terminal=styled, highlight=False)
    console.print(table)
    console.print(name, markup=False, style="bold")
    assert not controls(STYLE.sub("", shown.getvalue()))


@settings(max_examples=50)
@given(name=names)
def test_a_sentence_with_any_name_is_one_line(name: str) -> None:
    shown = io.StringIO()
    Sentences(file=shown, soft_wrap=True, highlight=False).print(f"found {name}.", markup=False)
    assert len(shown.getvalue().splitlines()) == 1
    assert not controls(shown.getvalue())


def test_a_progress_bar_shows_the_control_characters_of_a_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Display() as display:
        display.begin("dfme on cat\x1b[2J")
        display.step("training cat\x1b[2J", 1, 1)
        display.notice("cat\x1b[2J\nclonecost: done")
    said = capsys.readouterr().err
    assert not controls(said)
    assert said.count(r"cat\x1b[2J") == 3
    assert len(said.splitlines()) == 3


def test_results_show_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    write_out("cat\x1b[2J\u202e\nhead\n")
    assert capsys.readouterr().out == "cat\\x1b[2J\\u202e\nhead\n"
