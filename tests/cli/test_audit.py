"""A newcomer's and an adversary's way through the command line."""

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from safetensors.torch import load_file
from tests.support.cli_runs import (
    KNOCKOFF,
    MINE,
    QUICK,
    SMALL_DFME,
    asked,
    assert_one_sentence,
    run,
)
from tests.support.pools import backwards
from tests.support.workbench import PROXY_ROWS, SHAPE, TEST_ROWS, export

from clonecost.result import json_schema
from clonecost.victims import load_weights
from clonecost.victims.zoo.catalogue import VICTIMS

pytestmark = pytest.mark.usefixtures("at_the_bench")


def test_an_audit_of_ones_own_victim(out: Path, log: Path) -> None:
    said = run("audit", *MINE, *QUICK, "--budget", "100", "--out", out)
    assert said.status == 0, said.err
    assert "A clone that cost 100 queries" in said.out
    assert f"report: {out / 'report.html'}" in said.err
    assert len(asked(log)) == TEST_ROWS + 100
    made = {path.name for path in out.iterdir()}
    assert {"clone.safetensors", "ledger.sqlite", "report.html", "result.json", "spec.toml"} <= made
    result = json.loads((out / "result.json").read_text())
    assert [score["queries"] for score in result["curve"]] == [40, 100]
    assert result["provenance"]["command"].startswith("clonecost audit own:probs --test test.npz")


def test_json_is_pure_and_valid_against_the_printed_schema(out: Path) -> None:
    said = run("audit", *MINE, *QUICK, "--budget", "60", "--out", out, "--json", "--price", "1.5")
    schema = json.loads(run("schema").out)
    assert schema == json.loads(json.dumps(json_schema()))
    document = json.loads(said.out)
    jsonschema.validate(document, schema)
    assert document["price"] == {
        "usd_per_1000": 1.5, "usd_per_1000_characters": None, "usd": 0.09
    }  # fmt: skip
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, "spent": "many"}, schema)


def test_fail_above_decides_the_exit_status(out: Path) -> None:
    audit = ["audit", *MINE, *KNOCKOFF, "--set", "knockoff.epochs=1", "--budget", "8", "--out", out]
    failed = run(*audit, "--fail-above", "agreement=0.0")
    assert failed.status == 3  # 8 queries teach nothing
    assert "no verdict from" in failed.err
    assert "is above" not in failed.err
    assert run(*audit).status == 0  # without a limit a failed attack is a finished audit
    for wrong in ("agreement", "agreement=90", "agreement=much"):
        said = run(*audit, "--fail-above", wrong)
        assert (said.status, "want agreement=SHARE with a share from 0 to 1" in said.err) == (
            2,
            True,
        )
    assert "did you mean 'agreement'" in run(*audit, "--fail-above", "agrement=0.5").err


def test_every_way_to_bring_the_same_network_gives_the_same_clone(
    bench: Path, tmp_path: Path
) -> None:
    program = tmp_path / "net.pt2"
    export(load_weights(bench / "lenet.safetensors", "lenet", SHAPE, 4), program)
    ways = {
        "callable": ["own:probs"],
        "raw callable": ["own:logits", "--outputs", "logits"],
        "module": ["own:net"],
        "weights": ["lenet.safetensors", "--network", "lenet"],
        "program": [str(program), "--trust"],
    }
    curves, clones = {}, {}
    for way, words in ways.items():
        folder = tmp_path / way
        said = run("audit", *words, *MINE[1:], *QUICK, "--budget", "80", "--out", folder, "--json")
        assert said.status == 0, said.err
        found = json.loads(said.out)
        curves[way] = [(score["queries"], score["agreement"]) for score in found["curve"]]
        clones[way] = load_file(folder / "clone.safetensors")
        assert (found["victim"]["weights"] is None) == (way in ("callable", "raw callable"))
    assert all(curve == curves["module"] for curve in curves.values())
    for clone in clones.values():
        for key, value in clones["module"].items():
            np.testing.assert_allclose(clone[key], value, atol=1e-5)


def test_plan_sends_nothing_and_makes_nothing(tmp_path: Path, log: Path, bench: Path) -> None:
    before = sorted(bench.iterdir())
    said = run("plan", *MINE, *SMALL_DFME, "--budget", "1000", "--price", "2", "--seed", "0",
               "--seed", "1")  # fmt: skip
    assert said.status == 0
    assert "at most 2,000 of the attacks" in said.out
    assert "at most $4.00" in said.out
    assert "31 iterations of 32 queries" in said.out
    words = " ".join(said.out.split())
    assert "dfme: cost about" in words
    assert "the victim's own time is not known" in words  # nobody's code runs for a plan
    assert "all runs 2 runs, at least" in words
    assert asked(log) == []
    assert sorted(bench.iterdir()) == before


def test_plan_times_a_model_that_loads_without_code() -> None:
    said = run("plan", "lenet.safetensors", "--network", "lenet", "--shape", "1,16,16",
               "--classes", "4", "--threads", "3", *MINE[1:])  # fmt: skip
    words = " ".join(said.out.split())
    assert "of the victim," in words
    assert "of training on this machine" in words
    assert "threads 3 (as stated)" in words
    assert said.err == ""


def test_plan_of_the_zoo_trains_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLONECOST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(VICTIMS, "digits-lenet", replace(VICTIMS["digits-lenet"], kept=None))
    said = run("plan", "digits-lenet", *KNOCKOFF)
    assert said.status == 0
    assert "539 rows of digits" in said.out
    assert "of training on this machine" in " ".join(said.out.split())
    assert "digits-lenet is not trained yet" in said.err
    assert not (tmp_path / "cache").exists()


def test_plan_of_a_victim_that_comes_along_lacks_nothing() -> None:
    assert run("plan", "digits-lenet", *KNOCKOFF).err == ""


def test_plan_names_what_is_missing_and_what_is_unknown() -> None:
    said = run("plan", "absent.safetensors", "--network", "lenet", *MINE[1:], "--proxy", "no.npz")
    assert said.status == 0
    assert "missing: there is no file absent.safetensors" in said.err
    assert "missing: there is no file or folder no.npz" in said.err
    assert_one_sentence(run("plan", *MINE, "--proxy", "photoz"), "did you mean 'photos'")
    assert_one_sentence(run("plan", "digit-lenet"), "did you mean 'digits-lenet'")


@pytest.mark.parametrize("kind", ["attacks", "victims", "datasets", "networks", "defences"])
def test_lists_have_a_line_for_each(kind: str) -> None:
    said = run("list", kind)
    assert said.status == 0
    assert len(said.out.splitlines()) >= 1


UNCOMMON = {
    "labels": (["--answers", "label"], 60),
    "top_k": (["--answers", "top_k:3"], 60),
    "8 bit": (["--input-precision", "uint8"], 60),
    "one query": (["--budget", "1"], 1),
    "milestones": (["--milestones", "50,20,20,999"], 60),
    "more than there is": (["--budget", str(PROXY_ROWS + 50), "--milestones", "450"], 450),
    "defences": (["--defence", "rounding:decimals=1", "--defence", "rounding"], 60),
    "keep none": (["--keep", "none", "--controls"], 60),
    "shared": (["--attack", "knockoff:shared"], 60),
}


@pytest.mark.parametrize("what", UNCOMMON)
def test_uncommon_wishes(what: str, out: Path) -> None:
    words, spent = UNCOMMON[what]
    named = [] if "--attack" in words else KNOCKOFF
    said = run("audit", *MINE, *named, "--set", "knockoff.epochs=1", "--budget", "60",
               "--milestones", "20", "--out", out, *words, "--json")  # fmt: skip
    assert said.status == 0, said.err
    found = json.loads(said.out)
    assert found["spent"] == spent
    if what == "milestones":
        assert [score["queries"] for score in found["curve"]] == [20, 50, 60]
    if what == "keep none":
        assert [control["name"] for control in found["controls"]] == ["untrained_student"]
    assert run("verify", out).status == 0


def test_controls_ask_nothing(out: Path, log: Path) -> None:
    said = run("audit", *MINE, *QUICK, "--budget", "40", "--controls", "--out", out, "--json")
    found = json.loads(said.out)
    names = [control["name"] for control in found["controls"]]
    assert names == ["untrained_student", "shuffled_answers"]
    assert len(asked(log)) == TEST_ROWS + 40


def test_several_attacks_and_seeds_are_folders_and_one_report(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "clonecost.workers.attempts.in_processes", lambda workers, *given: backwards(*given)
    )
    said = run("audit", *MINE, *QUICK[2:], *SMALL_DFME, "--attack", "knockoff", "--seed", "3",
               "--seed", "4", "--budget", "64", "--out", out, "--json", "--workers",
               "3")  # fmt: skip
    assert said.status == 0, said.err
    document = json.loads(said.out)
    assert document["schema"] == "clonecost/report/1"
    assert "dfme, seed 3 ended (4 of 4)" in said.err
    for run_ in document["runs"]:
        jsonschema.validate(run_, json_schema())
    folders = sorted(path.name for path in out.iterdir() if path.is_dir())
    assert folders == ["dfme-seed3", "dfme-seed4", "knockoff-seed3", "knockoff-seed4"]
    assert (out / "report.html").is_file()
    assert run("verify", out).status == 0
    again = run("resume", out, "--json")
    assert json.loads(again.out) == document
    assert run("report", out, "--format", "md").out.startswith("# What it costs")


def test_names_with_spaces_and_letters_of_the_world(
    tmp_path: Path, bench: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "données [v2]"
    data.mkdir()
    for name in ("test.npz", "proxy.npz", "lenet.safetensors"):
        (data / name).write_bytes((bench / name).read_bytes())
    (data / "lenet.safetensors").rename(data / "réseau [a].safetensors")
    monkeypatch.chdir(tmp_path)
    said = run("audit", "données [v2]/réseau [a].safetensors", "--network", "lenet", "--test",
               "données [v2]/test.npz", "--proxy", "données [v2]/proxy.npz", "--student", "lenet",
               *QUICK, "--budget", "50", "--out", "mein Lauf/ü")  # fmt: skip
    assert said.status == 0, said.err
    assert "knockoff:shared on réseau [a].safetensors" in said.err
    assert (tmp_path / "mein Lauf" / "ü" / "report.html").is_file()
    assert run("resume", "mein Lauf/ü").status == 0


def test_without_out_the_same_command_finds_its_run_and_another_does_not(
    bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    mine = ["audit", "own:probs", "--test", str(bench / "test.npz"), "--proxy",
            str(bench / "proxy.npz"), "--student", "lenet", *QUICK, "--budget", "50"]  # fmt: skip
    monkeypatch.syspath_prepend(bench)
    assert run(*mine).status == 0
    assert run(*mine).status == 0
    assert len(asked(log)) == TEST_ROWS + 50
    assert run(*mine, "--defence", "rounding").status == 0
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_a_first_try_with_the_wrong_outputs_does_not_bar_its_folder(out: Path) -> None:
    words = ["audit", "own:logits", *MINE[1:], *QUICK, "--budget", "50", "--out", out]
    assert_one_sentence(run(*words, "--outputs", "percent"), "--outputs logits")
    said = run(*words, "--json")
    assert said.status == 0, said.err
    assert json.loads(said.out)["evaluation"] == 2 * TEST_ROWS  # the failed ones are paid, too


def test_version_and_help() -> None:
    assert run("--version").out.startswith("clonecost 0.")
    for name in ("audit", "plan", "resume", "report", "replay", "verify", "list", "schema"):
        assert name in run("--help").out
        assert run(name, "--help").status == 0
