"""Run folders: resume, a larger budget, replay, verify, reports."""

import errno
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from tests.support.cli_runs import MINE, QUICK, SMALL_DFME, asked, environment, run
from tests.support.workbench import TEST_ROWS

from clonecost.errors import LedgerError, RunError
from clonecost.persistence import atomic_write
from clonecost.result import read_result
from clonecost.workflows.replay import replay
from clonecost.workflows.run import spec_of

AUDIT = ["audit", *MINE, *QUICK]


@pytest.fixture(scope="module")
def finished(bench: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 100 queries; tests copy it before they touch it."""
    out = tmp_path_factory.mktemp("finished") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(bench)
        assert run(*AUDIT, "--budget", "100", "--out", out).status == 0
        assert run(*AUDIT[:1], *MINE, *SMALL_DFME, "--budget", "96", "--out", out.parent / "dfme",
                   "--keep", "all").status == 0  # fmt: skip
    return out


@pytest.fixture
def out(
    finished: Path, bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:  # fmt: skip
    monkeypatch.chdir(bench)
    monkeypatch.setenv("OWN_LOG", str(tmp_path / "asked"))
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "asked"


def contents(folder: Path) -> dict[str, bytes]:
    """Every file, but for those in which SQLite notes that someone reads."""
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if not path.name.startswith("ledger.sqlite-")
    }


def queries(folder: Path) -> list[int]:
    return [score.queries for score in read_result(folder).curve]


# -- resume --------------------------------------------------------------------------------------


def test_a_finished_run_is_not_run_again(out: Path, log: Path) -> None:
    before = (out / "result.json").read_bytes()
    said = run("resume", out)
    assert said.status == 0
    assert "finished before" in said.err
    assert said.out.startswith("A clone that cost 100 queries")
    assert (out / "result.json").read_bytes() == before
    assert asked(log) == []


def test_a_run_folder_is_no_victim(out: Path) -> None:
    said = run("audit", out)
    assert said.status == 2
    assert f"`clonecost resume {out}` goes on" in said.err


def test_a_finished_run_does_not_need_its_victim(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # neither victim nor data are here
    assert run("resume", out).status == 0


def test_a_larger_budget_pays_the_difference_and_keeps_the_curve(out: Path, log: Path) -> None:
    before = read_result(out)
    said = run("resume", out, "--budget", "160")
    assert said.status == 0, said.err
    assert len(asked(log)) == 60
    after = read_result(out)
    assert (after.spent, after.threat.query_budget) == (160, 160)
    assert queries(out) == [40, 100, 160]
    assert after.curve[:2] == before.curve
    assert "budget = 160" in (out / "spec.toml").read_text()
    assert run("verify", out).status == 0


def test_default_milestones_of_a_smaller_budget_stay_on_the_curve(
    out: Path, tmp_path: Path
) -> None:
    audit = ["audit", *MINE, "--set", "knockoff.epochs=1", "--out", tmp_path / "two"]
    assert run(*audit, "--budget", "50").status == 0
    assert queries(tmp_path / "two") == [1, 2, 5, 10, 25, 50]
    assert run(*audit, "--budget", "100").status == 0
    assert set(queries(tmp_path / "two")) == {1, 2, 5, 10, 20, 25, 50, 100}


def test_a_smaller_budget_is_refused_and_destroys_nothing(out: Path, log: Path) -> None:
    before = contents(out)
    for words in (["resume", out, "--budget", "50"], [*AUDIT, "--out", out, "--budget", "50"]):
        said = run(*words)
        assert said.status == 2
        assert "can only grow" in said.err
    assert contents(out) == before


def test_another_audit_does_not_mix_in(out: Path, log: Path) -> None:
    before = contents(out)
    for change in (["--seed", "1"], ["--defence", "rounding"], ["--answers", "label"],
                   ["--student", "half-lenet"], ["--attack", "knockoff"],
                   ["--set", "knockoff.epochs=3"], ["--attack", "knockoff", "--attack", "dfme",
                    "--set", "dfme.batch_size=8"]):  # fmt: skip
        said = run(*AUDIT, "--budget", "100", "--out", out, *change)
        assert said.status == 2, change
        assert f"{out} holds another audit (its " in said.err
        assert f"`clonecost resume {out}`" in said.err
    assert contents(out) == before
    assert asked(log) == []


def test_data_that_changed_under_the_same_name_are_another_audit(
    out: Path, log: Path, bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("own.py", "lenet.safetensors", "test.npz"):
        shutil.copy(bench / name, tmp_path)
    shutil.copy(bench / "test.npz", tmp_path / "proxy.npz")
    monkeypatch.chdir(tmp_path)
    said = run("resume", out, "--budget", "160")
    assert said.status == 2
    assert "holds the record of another audit" in said.err
    assert (out / "result.json").is_file()
    assert asked(log) == []


def test_a_run_made_in_python_says_how_it_goes_on(out: Path) -> None:
    (out / "spec.toml").unlink()
    said = run("resume", out)
    assert said.status == 2
    assert "call run_audit again" in said.err


def test_controls_can_be_asked_for_later(out: Path, log: Path) -> None:
    said = run(*AUDIT, "--budget", "100", "--out", out, "--controls")
    assert said.status == 0, said.err
    assert len(read_result(out).controls) == 2
    assert asked(log) == []


# -- broken folders ------------------------------------------------------------------------------


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


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


# -- replay --------------------------------------------------------------------------------------


def test_replay_asks_nothing_and_needs_no_victim(
    out: Path, log: Path, bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data only"
    data.mkdir()
    for name in ("test.npz", "proxy.npz"):
        shutil.copy(bench / name, data)
    spec = (out / "spec.toml").read_text()
    (out / "spec.toml").write_text(spec.replace("own:probs", "nowhere:probs"))
    monkeypatch.chdir(data)
    said = run("replay", out, "--student", "half-lenet", "--epochs", "2")
    assert said.status == 0, said.err
    assert "half-lenet trained on 100 bought rows" in said.out
    assert asked(log) == []
    again = run("replay", out, "--student", "half-lenet", "--epochs", "2", "--json")
    found = json.loads(again.out)
    assert found["rows"] == found["score"]["queries"] == 100
    assert (out / "replays" / "half-lenet-seed0.safetensors").is_file()
    (out / "spec.toml").write_text(spec)
    assert run("verify", out).status == 0


def test_replay_of_generated_inputs(out: Path, finished: Path) -> None:
    said = run("replay", finished.parent / "dfme", "--student", "lenet", "--epochs", "1")
    assert said.status == 0, said.err
    assert "trained on 96 bought rows" in said.out


def test_replay_needs_inputs_that_were_kept(out: Path, tmp_path: Path) -> None:
    words = [*AUDIT, "--budget", "60", "--keep", "none", "--out", tmp_path / "bare"]
    assert run(*words).status == 0
    said = run("replay", tmp_path / "bare", "--student", "lenet")
    assert said.status == 2
    assert "--keep all" in said.err


def test_replay_refuses_an_unknown_student_and_other_test_rows(
    out: Path, bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "did you mean 'lenet'" in run("replay", out, "--student", "lenett").err
    swapped = tmp_path / "swapped"
    swapped.mkdir()
    shutil.copy(bench / "proxy.npz", swapped)
    rows = dict(np.load(bench / "test.npz"))
    np.savez(swapped / "test.npz", inputs=rows["inputs"][::-1], labels=rows["labels"])
    monkeypatch.chdir(swapped)
    with pytest.raises(LedgerError, match="not the test set whose verdicts"):
        replay(out, "lenet", epochs=1)


# -- verify --------------------------------------------------------------------------------------


def sql(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()


def flip_an_answer(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as db:
        batch, answers = db.execute("SELECT id, answers FROM batches LIMIT 1 OFFSET 1").fetchone()
        changed = bytes([answers[0] ^ 1]) + answers[1:]
        db.execute("UPDATE batches SET answers = ? WHERE id = ?", (changed, batch))
        db.commit()


def edit_result(folder: Path) -> None:
    text = (folder / "result.json").read_text()
    result = json.loads(text)
    result["curve"][-1]["agreement"]["value"] = 0.01
    (folder / "result.json").write_text(json.dumps(result, indent=2))


LAST = "(SELECT max(id) FROM batches)"
ALTERED: dict[str, tuple[Callable[[Path], object], str]] = {
    "an answer": (flip_an_answer, "was altered after it was settled"),
    "a row": (lambda run: sql(run, f"DELETE FROM batches WHERE id = {LAST}"), "was deleted"),
    "a row and its events": (
        lambda run: sql(run, f"DELETE FROM chain WHERE batch = {LAST}",
                        f"DELETE FROM batches WHERE id = {LAST}"),
        "missing from the chain",
    ),
    "the tail": (
        lambda run: sql(run, "DELETE FROM chain WHERE batch IS NULL AND seq > 5",
                        f"DELETE FROM chain WHERE batch = {LAST}",
                        f"DELETE FROM batches WHERE id = {LAST}"),
        "the run has not ended",
    ),
    "the spec": (lambda run: flip(run / "spec.toml", 3), "spec.toml was altered"),
    "the samples": (lambda run: flip(run / "samples.safetensors", -1), "samples.safetensors was"),
    "a file that a report shows": (lambda run: (run / "transfer.json").write_text("{}"),
                                   "transfer.json was added"),
    "the digests of the files": (
        lambda run: sql(run, "UPDATE chain SET content = '{}' WHERE event = 'files'"),
        "was altered after it was written"),
    "an event": (lambda run: sql(run, "DELETE FROM chain WHERE seq = 3"), "missing from the chain"),
    "the count": (lambda run: sql(run, "UPDATE batches SET count = 99 WHERE id = 2"), "altered"),
    "a state": (lambda run: sql(run, "UPDATE batches SET state = 'lost' WHERE id = 2"),
                "is marked lost"),
    "an invented row": (
        lambda run: sql(run, "INSERT INTO batches (account, position, count, digests, at, state) "
                             "VALUES ('attack', 100, 1, x'00', '', 'lost')"), "is marked lost"),
    "the result": (edit_result, "result.json was altered"),
    "the clone": (lambda run: flip(run / "clone.safetensors", -1), "clone.safetensors was altered"),
    "no clone": (lambda run: (run / "clone.safetensors").unlink(), "clone.safetensors is missing"),
    "half": (lambda run: cut_in_half(run / "ledger.sqlite"), "damaged"),
    "the kept inputs": (lambda run: flip(run / "inputs.bin", 0), "altered after it was settled"),
    "no kept inputs": (lambda run: (run / "inputs.bin").unlink(), "inputs.bin"),
}  # fmt: skip


@pytest.mark.parametrize("what", ALTERED)
def test_verify_finds_what_was_altered(what: str, out: Path) -> None:
    change, sentence = ALTERED[what]
    assert run("verify", out).status == 0
    change(out)
    said = run("verify", out)
    assert said.status == 2
    assert sentence in said.err
    assert said.out == ""


def test_verify_finds_altered_inputs_of_a_generator(out: Path, finished: Path) -> None:
    folder = out.parent / "dfme"
    shutil.copytree(finished.parent / "dfme", folder)
    flip(folder / "inputs.bin", 100)
    said = run("verify", folder)
    assert said.status == 2
    assert "the kept inputs of batch" in said.err


def test_verify_of_many_runs_names_the_bad_one(out: Path, finished: Path) -> None:
    shutil.copytree(finished.parent / "dfme", out.parent / "dfme")
    assert run("verify", out.parent).status == 0
    edit_result(out)
    said = run("verify", out.parent)
    assert said.status == 2
    assert f"{out}: result.json was altered" in said.err
    assert not [line for line in said.err.splitlines() if "dfme" in line and "altered" in line]


# -- reports -------------------------------------------------------------------------------------


def test_reports_of_one_and_many_runs(out: Path, finished: Path, tmp_path: Path) -> None:
    assert "<html" in run("report", out, "--out", "-").out
    assert run("report", out, "--format", "md").out.startswith("# What it costs")
    assert json.loads(run("report", out, "--format", "json").out)["spent"] == 100
    many = json.loads(run("report", finished.parent, "--format", "json").out)
    assert len(many["runs"]) == 2
    said = run("report", out, finished.parent / "dfme", "--out", tmp_path / "both.html")
    assert said.status == 0
    assert (tmp_path / "both.html").read_text(encoding="utf-8").count("dfme") > 0


def test_an_unfinished_run_does_not_spoil_the_others(out: Path, finished: Path) -> None:
    other = out.parent / "unfinished"
    shutil.copytree(finished.parent / "dfme", other)
    (other / "result.json").unlink()
    said = run("report", out.parent, "--format", "json")
    assert said.status == 0
    assert json.loads(said.out)["spent"] == 100
    assert f"left out: {other} did not finish; `clonecost resume {other}` goes on" in said.err
    alone = run("report", other)
    assert alone.status == 2
    assert "did not finish" in alone.err


def test_a_full_disk_is_named_and_the_run_goes_on(
    out: Path, tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clone cannot be written."""
    folder = tmp_path / "full"
    sync = atomic_write._sync

    def full(path: Path) -> None:
        if path.name.startswith("clone."):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(path)

    monkeypatch.setattr(atomic_write, "_sync", full)
    said = run(*AUDIT, "--budget", "60", "--out", folder)
    assert said.status == 2
    assert "No space left on device" in said.err
    assert f"`clonecost resume {folder}` goes on" in said.err
    assert not (folder / "result.json").exists()
    monkeypatch.setattr(atomic_write, "_sync", sync)
    assert run("resume", folder).status == 0
    assert len(asked(log)) == TEST_ROWS + 60


def test_a_report_writes_through_no_link(out: Path, tmp_path: Path) -> None:
    """Of a run folder that came from somebody else."""
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    (out / "report.html").unlink()
    for name in ("report.html", "report.html.part"):
        (out / name).symlink_to(outside)
    assert run("report", out).status == 0
    assert outside.read_bytes() == b"precious"
    assert (out / "report.html").read_text().startswith("<!")
    assert not (out / "report.html").is_symlink()


# A limit on the size of any file is the nearest to a disk that fills up while an audit runs.
LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
from clonecost.cli import main
main()
"""


def test_a_ledger_that_cannot_grow_keeps_what_was_answered(
    out: Path, bench: Path, tmp_path: Path, log: Path
) -> None:
    folder = tmp_path / "full"
    words = [*map(str, AUDIT), "--set", "knockoff.batch_size=32", "--budget", "100", "--out",
             str(folder)]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *words], cwd=bench, capture_output=True, text=True,
        env=environment(bench, OWN_LOG=str(log)),
    )  # fmt: skip
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert "ledger.sqlite cannot grow: the disk is full" in last
    assert f"`clonecost resume {folder}`" in last
    assert "Traceback" not in done.stderr
    before = len(asked(log))
    assert run("resume", folder).status == 0
    assert before < len(asked(log)) <= TEST_ROWS + 100 + 32  # only the batch in flight is repeated
    assert run("verify", folder).status == 0


def test_spec_of_what_is_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a run folder"):
        spec_of(tmp_path)
