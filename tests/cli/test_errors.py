"""Remedies in the words of the command line."""

import ast
from pathlib import Path

import pytest
import typer
from tests.support.cli_runs import run

import clonecost
from clonecost.cli.errors import flag, has_flag, in_run, in_words, remedied, sentences
from clonecost.config import make_attack
from clonecost.config.schema import Spec
from clonecost.errors import (
    Advice,
    ChooseFrom,
    CloneCostError,
    DropKey,
    Remedy,
    RunWorkflow,
    SetKey,
    SpecError,
)

WORDS: list[tuple[Remedy, str]] = [
    (SetKey("budget", 512), "use --budget 512"),
    (SetKey("budget"), "use --budget ROWS"),
    (SetKey("input_precision", "uint8"), "use --input-precision uint8"),
    (SetKey("layout"), "use --layout nchw|nhwc"),
    (SetKey("trust", True), "use --trust"),
    (SetKey("trust"), "use --trust"),
    (SetKey("controls", False), "use --no-controls"),
    (SetKey("shape"), "use --shape C,H,W"),
    (SetKey("shape", (1, 28, 28)), "use --shape 1,28,28"),
    (SetKey("seed", [1, 2]), "use --seed 1 --seed 2"),
    (SetKey("test", "my rows.csv"), "use --test 'my rows.csv'"),
    (SetKey("set.dfme.step", 0.1), "use --set dfme.step=0.1"),
    (SetKey("set.dfme.step"), "use --set dfme.step=VALUE"),
    (SetKey("victim", "digits-lenet"), "give digits-lenet as the victim"),
    (SetKey("max_rows", 5), "use --max-rows 5"),
    (SetKey("host"), "use --host"),
    (SetKey("endpoint.url"), "set the key `endpoint.url`"),
    (SetKey("endpoint.method", "PUT"), "set the key `endpoint.method` to 'PUT'"),
    (SetKey("authorisation"), "set the key `authorisation`"),
    (DropKey("trust"), "leave --trust out"),
    (DropKey("max_lost"), "leave --max-lost out"),
    (DropKey("endpoint.headers"), "leave the key `endpoint.headers` out"),
    (DropKey("features"), "leave the key `features` out"),
    (ChooseFrom("attacks"), "see `clonecost list attacks`"),
    (RunWorkflow("resume", Path("runs/a b")), "`clonecost resume 'runs/a b'` goes on"),
    (RunWorkflow("resume"), "`clonecost resume RUN` goes on"),
    (
        RunWorkflow("transfer", "runs/a", SetKey("max_lost")),
        "run `clonecost transfer runs/a --max-lost ROWS`",
    ),
    (RunWorkflow("train generator", "vae"), "run `clonecost train generator vae`"),
    (RunWorkflow("report"), "run `clonecost report`"),
    (Advice("see the manual"), "see the manual"),
]


@pytest.mark.parametrize(("remedy", "words"), WORDS)
def test_a_remedy_is_worded_for_the_command_line(remedy: Remedy, words: str) -> None:
    assert remedied(remedy) == words


def test_an_error_says_the_fact_and_then_its_remedies() -> None:
    error = SpecError("The budget is too small", SetKey("budget", 512), ChooseFrom("attacks"),
                      got=100, want=512)  # fmt: skip
    assert in_words(error) == (
        "The budget is too small: got 100, want 512. "
        "Use --budget 512; or see `clonecost list attacks`."
    )
    assert "--budget" not in str(error)
    assert in_words(CloneCostError("The file is gone")) == "The file is gone"


def test_a_workflow_with_a_changed_key_is_worded_for_python() -> None:
    resume = RunWorkflow("resume", "runs/a", SetKey("max_lost"))
    assert str(CloneCostError("Limit reached", resume)) == (
        "Limit reached. Call `run_audit` again with the same audit and another `max_lost`."
    )
    audit = RunWorkflow("audit", change=SetKey("keep", "all"))
    assert str(CloneCostError("Not kept", audit)).endswith("the same audit and `keep='all'`.")


def test_the_command_prints_the_flag_and_ends_with_status_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(typer.Exit) as ended, sentences():
        raise SpecError("No shape is known", SetKey("shape"), SetKey("classes", 4))
    assert ended.value.exit_code == 2
    assert capsys.readouterr().err == (
        "clonecost: No shape is known. Use --shape C,H,W; or use --classes 4.\n"
    )


def test_ctrl_c_says_how_to_go_on(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def stopped() -> str:
        with pytest.raises(typer.Exit) as ended, sentences(tmp_path):
            raise KeyboardInterrupt
        assert ended.value.exit_code == 130
        return capsys.readouterr().err

    assert "stopped before anything was sent" in stopped()  # there is nothing to resume
    for name in ("spec.toml", "ledger.sqlite"):
        (tmp_path / name).touch()
    assert f"`clonecost resume {tmp_path}` goes on" in stopped()


def test_tables_have_no_flag() -> None:
    assert {name for name in Spec.model_fields if not has_flag(name)} == {
        "features", "endpoint", "authorisation",
    }  # fmt: skip
    assert flag("snapshot_every") == "--snapshot-every"


RUN = in_run(Path("runs/mine"), "budget", "max_lost")


@pytest.mark.parametrize(
    ("remedy", "words"),
    [
        (SetKey("budget", 512), "use --budget 512"),
        (SetKey("answers", "label"), "set the key `answers` to 'label' in runs/mine/spec.toml"),
        (SetKey("set.dfme.step"), "set the key `set.dfme.step` in runs/mine/spec.toml"),
        (SetKey("victim"), "set the key `victim` in runs/mine/spec.toml"),
        (SetKey("endpoint.top_k", 3), "set the key `endpoint.top_k` to 3 in runs/mine/spec.toml"),
        (DropKey("controls"), "leave the key `controls` out of runs/mine/spec.toml"),
        (DropKey("max_lost"), "leave --max-lost out"),
        (ChooseFrom("attacks"), "see `clonecost list attacks`"),
    ],
)
def test_a_command_without_the_flag_names_the_key_and_its_file(remedy: Remedy, words: str) -> None:
    assert remedied(remedy, RUN) == words


def test_a_remedy_that_the_command_cannot_take_is_left_out() -> None:
    error = SpecError("The run folder is taken", SetKey("out"), SetKey("budget", 5))
    assert in_words(error, RUN) == "The run folder is taken. Use --budget 5."
    assert in_words(error) == "The run folder is taken. Use --out; or use --budget 5."


def test_resume_names_the_key_in_the_runs_spec(tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_text('victim = "digits-lenet"\nstudent = "lenett"\n')
    said = run("resume", tmp_path)
    assert said.status == 2
    assert "did you mean 'lenet'" in said.err
    (tmp_path / "spec.toml").write_text('victim = "digits-lenet"\nanswers = "prob"\n')
    said = run("resume", tmp_path)
    assert said.status == 2
    assert f"set the key `answers` in {tmp_path / 'spec.toml'}" in said.err.replace("Set", "set")
    assert "--answers" not in said.err


def test_a_fault_is_named_by_its_first_line_with_words(capsys: pytest.CaptureFixture[str]) -> None:
    for error, words in (
        (
            ValueError("\n\n  no such node\n at line 7"),
            "unexpected ValueError: no such node. Every",
        ),
        (KeyError(), "unexpected KeyError: KeyError. Every"),
    ):
        with pytest.raises(typer.Exit), sentences():
            raise error
        assert words in " ".join(capsys.readouterr().err.split())


def test_every_unknown_name_has_a_remedy() -> None:
    bare, seen = [], 0
    for path in Path(clonecost.__file__).parent.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(call, ast.Call) and call.args):
                continue
            inner = {ast.unparse(one.func) for one in ast.walk(call.args[0])
                     if isinstance(one, ast.Call)}  # fmt: skip
            if ast.unparse(call.func) in ("SpecError", "VictimError") and "suggest" in inner:
                seen += 1
                bare += [f"{path.name}:{call.lineno}"] * (len(call.args) < 2)
    assert seen > 15
    assert bare == []


def test_an_unknown_setting_names_the_list_of_its_part() -> None:
    with pytest.raises(SpecError, match=r"did you mean 'epochs'.*settings of `knockoff`") as known:
        make_attack("knockoff", {"knockoff": {"epoch": 3}})
    assert "See `clonecost list attacks knockoff`." in in_words(known.value)
