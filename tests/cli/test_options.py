"""One source for every flag: the schema, from which the command line is made."""

import re
from inspect import getsource, signature, unwrap
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from pydantic import Field
from tests.support.cli_runs import run
from typer.testing import CliRunner

from clonecost.cli import app as command_line
from clonecost.cli.errors import flag
from clonecost.cli.options import takes_keys
from clonecost.config.key import Key, form, key_of, keys, metavar
from clonecost.config.key_table import key_table
from clonecost.config.parse import read_toml, validated
from clonecost.config.schema import Spec
from clonecost.errors import SpecError

FLAGS = [flag(name) for name, field in Spec.model_fields.items() if form(field) != "table"]
WIDE = {"COLUMNS": "200", "TERMINAL_WIDTH": "200"}


class Slower(Spec):
    """The schema with one key more: the one edit that a new key needs."""

    pause_between: Annotated[Annotated[float, Field(ge=0)], Key(
        "Seconds between two batches, see `budget`.", metavar="SECONDS", panel="Pace",
    )] = 2.5  # fmt: skip


def command_of(model: type[Spec], *only: str) -> tuple[typer.Typer, list[dict[str, Any]]]:
    """A command line with one command, and the keys of each of its calls."""
    app = typer.Typer(rich_markup_mode="markdown")
    calls: list[dict[str, Any]] = []

    @app.command()
    @takes_keys(model, *only)
    def audit(keys: dict[str, Any], as_json: bool = False) -> None:
        """Attack."""
        calls.append({**keys, "as_json": as_json})

    return app, calls


def test_a_new_key_is_one_edit(tmp_path: Path) -> None:
    app, calls = command_of(Slower)
    shown = CliRunner().invoke(app, ["--help"], env=WIDE).stdout
    words = " ".join(shown.split())
    assert "Pace" in shown
    assert "--pause-between SECONDS Seconds between two batches, see --budget. [default: 2.5]" in (
        words
    )
    assert CliRunner().invoke(app, ["own:probs", "--pause-between", "4"]).exit_code == 0
    assert calls == [{"victim": "own:probs", "pause_between": 4.0, "as_json": False}]
    refused = CliRunner().invoke(app, ["own:probs", "--pause-between", "-1"])
    assert (refused.exit_code, len(calls)) == (2, 1)
    assert "--pause-between does not take this value: got '-1', want 0 or more" in refused.stderr

    path = tmp_path / "audit.toml"
    path.write_text('victim = "own:probs"\npause_between = 7\n')
    assert validated(read_toml(path), str(path), Slower).pause_between == 7.0
    path.write_text('victim = "own:probs"\npause_between = "long"\n')
    with pytest.raises(SpecError, match=r"toml: pause_between does not .*'long', want a number"):
        validated(read_toml(path), str(path), Slower)
    path.write_text('victim = "own:probs"\npause_betwen = 7\n')
    with pytest.raises(SpecError, match="did you mean 'pause_between'"):
        validated(read_toml(path), str(path), Slower)

    row = "| `pause_between` | `SECONDS` | 2.5 | Seconds between two batches, see `budget`. |"
    assert row in key_table(Slower)
    assert "pause_between" not in key_table()


def test_every_key_that_is_no_table_is_a_flag_of_audit_and_plan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in WIDE.items():
        monkeypatch.setenv(name, value)
    for command in ("audit", "plan"):
        words = run(command, "--help").out.split()
        missing = [one for one in FLAGS if one != "--victim" and one not in words]
        assert missing == []
        assert "VICTIM|SPEC.toml" in words
        assert {"--endpoint", "--authorisation", "--features"} & set(words) == set()


def test_help_derives_defaults_from_the_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in WIDE.items():
        monkeypatch.setenv(name, value)
    app, _ = command_of(Spec)
    shown = CliRunner().invoke(app, ["--help"], env=WIDE).stdout
    said = " ".join(shown.replace("│", " ").split())  # without the frame, where a line is broken
    for key in ("uniform", "snapshot_every", "access", "device"):
        field = Spec.model_fields[key]
        written, value = f"{flag(key)} {metavar(field, key_of(key, field))} ", field.default
        (value,) = value if isinstance(value, list) else [value]
        assert (
            f"[default: {value:g}]"
            if isinstance(value, float)
            else f"[default: {value}]" in (said.partition(written)[2][:400])
        )


def test_a_subset_has_those_keys_only() -> None:
    app, calls = command_of(Spec, "budget", "seed", "trust", "mean", "set")
    shown = CliRunner().invoke(app, ["--help"], env=WIDE).stdout
    assert "--budget" in shown
    assert "--proxy" not in shown
    given = ["--seed", "3", "--seed", "4", "--no-trust", "--mean", "0.5,1", "--set", "dfme.step=1"]
    assert CliRunner().invoke(app, given).exit_code == 0
    assert calls == [{"seed": [3, 4], "trust": False, "mean": [0.5, 1.0],
                      "set": {"dfme": {"step": 1}}, "as_json": False}]  # fmt: skip
    assert CliRunner().invoke(app, ["--proxy", "x"]).exit_code == 2


def test_other_words_for_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in WIDE.items():
        monkeypatch.setenv(name, value)
    words = " ".join(run("resume", "--help").out.split())
    assert "A larger query budget than before. [default: the run's]" in words
    assert "[default: 10000" not in words


def test_every_key_has_words_that_are_sentences() -> None:
    for name, key in keys(Spec).items():
        assert key.help.endswith("."), name
        assert "--" not in key.help + key.default, name  # flags are the command line's own


def test_every_command_that_asks_for_consent_takes_it() -> None:
    groups = [group.typer_instance for group in command_line.registered_groups]
    commands = [
        command.callback
        for one in (command_line, *groups) if one is not None
        for command in one.registered_commands if command.callback is not None
    ]  # fmt: skip
    asks = re.compile(r"\b(must_consent|consent_of_keys|checked_consent)\(")
    asking = [command for command in commands if asks.search(getsource(unwrap(command)))]
    assert len(asking) >= 5
    without = [
        command.__name__ for command in asking if "consent" not in signature(command).parameters
    ]
    assert without == []
