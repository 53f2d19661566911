"""The process is killed at any moment; nothing is paid twice, and the clone is the same to the bit.

The victim logs a digest of every row before it answers; the log has the rows that it received.
"""

import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest
from tests.support.attack_settings import SMALL as TOY_SETTINGS
from tests.support.cli_runs import MINE, asked, forked, run
from tests.support.workbench import GENERATOR, TEST_ROWS

from clonecost.attacks import ATTACKS

BUDGET, CLONE = 480, "clone.safetensors"
# Settings for a run of BUDGET rows, in place of those for the toy: less training, and more steps of
# an attack within the budget.
SMALLER: dict[str, dict[str, object]] = {
    "active_thief": {"recipe": "shared", "seed_rows": 100, "round_rows": 100, "epochs": 2,
                     "round_epochs": 1, "candidates": 200, "deepfool_steps": 1},
    "black_box_ripper": {"generator": GENERATOR, "population": 9, "elite": 3, "max_generations": 3,
                         "slots": 4, "epochs": 3, "loss": "kl"},
    "copycat": {"recipe": "shared", "epochs": 2, "batch_size": 32},
    "dfme": {"batch_size": 16, "latent_dim": 4, "generator_width": 4, "student_steps": 2},
    "dfms": {"batch_size": 20, "gan_width": 4, "gan_epochs": 1, "div_gan_epochs": 1,
             "pretraining_epochs": 2},
    "disguide": {"batch_size": 16, "latent_dim": 4, "generator_width": 4},
    "dual_students": {"batch_size": 16, "latent_dim": 4, "generator_width": 4},
    "ex_nihilo": {"round_size": 50, "epochs": 3},
    "frugal_ripper": {"round_size": 50, "epochs": 3},
    "ideal": {"batch_size": 40, "latent_dim": 4, "generator_width": 4, "generator_steps": 3,
              "student_steps": 5},
    "jbda": {"seeds": 60, "epochs": 2, "batch_size": 32},
    "knockoff": {"epochs": 3, "batch_size": 32},
    "knockoff_adaptive": {"recipe": "shared", "epochs": 2, "batch_size": 40},
    "marich": {"seed_rows": 100, "round_rows": 150, "candidates": 200, "round_epochs": 1},
    "maze": {"batch_size": 8, "latent_dim": 4, "generator_width": 4, "directions": 2,
             "clone_steps": 3},
    "maze_pd": {"batch_size": 8, "latent_dim": 4, "generator_width": 4, "directions": 2,
                "clone_steps": 3, "seeds": 20},
    "maze_star": {"batch_size": 8, "latent_dim": 4, "generator_width": 4, "directions": 2,
                  "student_steps": 2},
}  # fmt: skip
EVERY = sorted(
    name for name, attack in ATTACKS.items()
    if not attack.declares.white_box and attack.declares.takes == "images"
)  # fmt: skip
# A part of the attacks each day, by the date in UTC. CLONECOST_KILLS=0 to 5 names the part, whose
# number the ids of the tests have; CLONECOST_KILLS=all takes every attack.
PARTS = 6
KILLS_OF = os.environ.get("CLONECOST_KILLS") or str(datetime.now(UTC).toordinal() % PARTS)
KILLED = EVERY if KILLS_OF == "all" else EVERY[int(KILLS_OF) :: PARTS]

Undisturbed = Callable[[str], tuple[Path, list[str]]]


def words(attack: str, out: Path) -> list[str | Path]:
    """The command line of a small audit; an attack without an entry here has the toy's settings."""
    settings = SMALLER.get(attack, TOY_SETTINGS.get(attack, {}))
    proxy = ["--proxy", "labelled.npz"] if ATTACKS[attack].declares.proxy_labels else []
    return [
        "audit", *MINE, *proxy, "--attack", attack, "--milestones", "200",
        *(f"--set={attack}.{key}={value}" for key, value in settings.items()),
        "--budget", str(BUDGET), "--out", out,
    ]  # fmt: skip


def settled_rows(out: Path) -> list[tuple[str, int, bytes]]:
    """(account, position, digest and answer) of every answered row, batch borders forgotten."""
    with closing(sqlite3.connect(out / "ledger.sqlite")) as db:
        found = [
            (account, position + k, digests[16 * k : 16 * k + 16] + answers[16 * k : 16 * k + 16])
            for account, position, count, digests, answers in db.execute(
                "SELECT account, position, count, digests, answers FROM batches "
                "WHERE state = 'settled'"
            )
            for k in range(count)
        ]
    return sorted(found)


def curve(out: Path) -> object:
    return json.loads((out / "result.json").read_text(encoding="utf-8"))["curve"]


def lost_rows(out: Path) -> int:
    with closing(sqlite3.connect(out / "ledger.sqlite")) as db:
        found = db.execute("SELECT SUM(count) FROM batches WHERE state = 'lost'").fetchone()[0]
    return found or 0


@pytest.fixture(scope="module")
def undisturbed(bench: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """(run folder, digests of the rows asked) of each attack, left alone; made when wanted."""
    made: dict[str, tuple[Path, list[str]]] = {}

    def of(attack: str) -> tuple[Path, list[str]]:
        if attack not in made:
            folder = tmp_path_factory.mktemp(attack)
            process = start(attack, bench, folder / "run", folder / "asked")
            process.join()
            assert process.exitcode == 0, said(folder / "asked")
            made[attack] = folder / "run", asked(folder / "asked")
        return made[attack]

    return of


def start(attack: str, bench: Path, out: Path, log: Path, **more: str) -> ForkServerProcess:
    return forked(*words(attack, out), bench=bench, said=said_in(log), OWN_LOG=str(log), **more)


def said_in(log: Path) -> Path:
    return log.with_suffix(".said")


def said(log: Path) -> str:
    """What the last process that logs there has said."""
    return said_in(log).read_text(encoding="utf-8")


def asked_at_least(log: Path, rows: int) -> Callable[[], bool]:
    return lambda: len(asked(log)) >= rows


def stop_when(here: Callable[[], bool], process: ForkServerProcess, by: signal.Signals) -> int:
    """Send the signal as soon as `here` is true; the exit status."""
    assert process.pid is not None
    try:
        deadline = time.monotonic() + 60
        while process.is_alive() and not here():
            assert time.monotonic() < deadline, "the moment to stop it never came"
            time.sleep(0.001)
        with suppress(ProcessLookupError):  # the process has ended in the meantime
            os.kill(process.pid, by)
        process.join(60)
    finally:
        process.kill()
        process.join()
    assert process.exitcode is not None
    return process.exitcode


def resume_here(bench: Path, out: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bench)
    monkeypatch.setenv("OWN_LOG", str(log))
    said = run("resume", out)
    assert said.status == 0, said.err


def assert_the_same(out: Path, straight: Path) -> None:
    assert settled_rows(out) == settled_rows(straight)
    assert curve(out) == curve(straight)
    assert (out / CLONE).read_bytes() == (straight / CLONE).read_bytes()
    assert run("verify", out).status == 0


# Rows that the victim has logged when the process is killed: in the evaluation, early, in mid-run
# and late. It is killed between question and answer, but the third time wherever it happens to be.
KILLS = [1, TEST_ROWS + 20, TEST_ROWS + 240, TEST_ROWS + 400]


@pytest.mark.parametrize("attack", KILLED, ids=lambda name: f"{name}-kills-{KILLS_OF}")
def test_killed_again_and_again(
    attack: str, bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    undisturbed: Undisturbed,
) -> None:  # fmt: skip
    straight, rows = undisturbed(attack)
    out, log = tmp_path / "run", tmp_path / "asked"
    expected: list[str] = []  # what the victim should have been asked until now
    bought = 0  # in both accounts, as the ledger had it when the process began
    for kill, at in enumerate(KILLS):
        stop = {} if kill == 2 else {"OWN_STOP_AT": str(at)}
        process = start(attack, bench, out, log, **stop)
        status = stop_when(asked_at_least(log, at), process, signal.SIGKILL)
        assert status == -signal.SIGKILL, said(log)
        assert not (out / "result.json").exists()
        fresh = asked(log)[len(expected) :]
        assert fresh == rows[bought : bought + len(fresh)]  # nothing that had been answered before
        expected += fresh
        bought = len(settled_rows(out))
        assert run("verify", out).status == 0  # reserved rows are accounted for, too
    resume_here(bench, out, log, monkeypatch)
    assert asked(log) == expected + rows[bought:]
    assert_the_same(out, straight)
    assert len(asked(log)) - len(rows) <= lost_rows(out)  # what was asked twice is in the books
    assert lost_rows(out) >= TEST_ROWS


@pytest.mark.parametrize("file", ["clone.safetensors.*.part", "result.json"])
def test_killed_while_the_outcome_is_written(
    file: str, bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    undisturbed: Undisturbed,
) -> None:  # fmt: skip
    out, log = tmp_path / "run", tmp_path / "asked"
    stop_when(lambda: any(out.glob(file)), start("knockoff", bench, out, log), signal.SIGKILL)
    assert len(asked(log)) == TEST_ROWS + BUDGET
    resume_here(bench, out, log, monkeypatch)
    assert len(asked(log)) == TEST_ROWS + BUDGET
    assert_the_same(out, undisturbed("knockoff")[0])


def test_ctrl_c_ends_cleanly_and_says_how_to_go_on(
    bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: Undisturbed
) -> None:
    out, log = tmp_path / "run", tmp_path / "asked"
    # it waits for an answer then: else a busy machine lets it finish before it is looked at
    process = start("dfme", bench, out, log, OWN_STOP_AT=str(TEST_ROWS + 100))
    status = stop_when(lambda: len(asked(log)) >= TEST_ROWS + 100, process, signal.SIGINT)
    assert status == 130
    assert f"`clonecost resume {out}` goes on" in said(log)
    assert "Traceback" not in said(log)
    resume_here(bench, out, log, monkeypatch)
    assert_the_same(out, undisturbed("dfme")[0])


def test_two_processes_on_one_run_folder(
    bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, log = tmp_path / "run", tmp_path / "asked"
    monkeypatch.chdir(bench)
    second = []

    def asked_once() -> bool:
        if asked(log):
            second.append(run(*words("knockoff", out)))
        return bool(second)

    first = start("knockoff", bench, out, log, OWN_STOP_AT="1")
    assert stop_when(asked_once, first, signal.SIGKILL) == -signal.SIGKILL
    assert second[0].status == 2
    assert f"{out} is in use by another process" in second[0].err
