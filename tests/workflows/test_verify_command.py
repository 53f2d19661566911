"""What `clonecost verify` says of runs that were altered."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.cli_runs import run
from tests.support.run_folders import cut_in_half, flip, sql


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
